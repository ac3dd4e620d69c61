/*
 * simple_op.h: an operation for tests of the path to Redis: sends its commands, as often as it is
 * told to, and notes all that happens.
 */
#ifndef LIVE_SIMPLE_OP_H
#define LIVE_SIMPLE_OP_H

#include "api/op.h"

#define SIMPLE_COMMANDS_MAX 4
#define SIMPLE_ARGS_MAX     4

enum { SIMPLE_ERROR_REPLY = -31 }; /* none of the library's, but one that its figures can count */

struct simple_op {
    struct coat_op op;
    struct coat_arg args[SIMPLE_COMMANDS_MAX][SIMPLE_ARGS_MAX];
    struct coat_command commands[SIMPLE_COMMANDS_MAX];
    size_t count;
    int steps;       /* how often the pipeline is sent if all goes well; 1 */
    int repeats;     /* how often it is sent again after a loss; 0 */
    int close;       /* what it asks for at the end */
    int64_t confirm; /* by so many replicas; 0 */

    /* What happened. */
    int sends, answers, losses;
    int64_t confirmed;
    int maybe_sent, final, why; /* of the last loss */
    struct coat_error loss;
    enum coat_reply_kind kind; /* of the last reply of the last pipeline */
    long long integer;
    char text[128];
    int64_t now_ms;
};

/* Words separated by single blanks; commands by " | ". The second word of each is its key. */
void simple_op_init(struct simple_op *s, char *words);

#endif
