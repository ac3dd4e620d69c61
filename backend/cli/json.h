/*
 * json.h: a value as JSON, so that what is written is read as the same value again.
 *
 * null, true, numbers, texts, arrays and objects are what they are in Python: a number with a dot
 * or an exponent is a float, any other an int, an array a list. What JSON lacks is an object with
 * one name that begins with a dollar:
 *
 *     {"$bytes": "AP8="}              base64
 *     {"$tuple": [1, 2]}
 *     {"$dict": [[1, "a"], ...]}      pairs, for a dict with keys that are no texts, or with one
 * key alone that begins with a dollar
 *     {"$float": "nan"}               "inf", "-inf"; another NaN by its bits, "0x7ff8000000000001"
 *     {"$int": "0x1f"}                "-0x1f"; beyond 64 bits ints are written so
 */
#ifndef COAT_CLI_JSON_H
#define COAT_CLI_JSON_H

#include "api/buf.h"
#include "coat_value.h"

/*
 * bytes: a value that has been checked. Appended to *to, with what a terminal would obey escaped.
 * 0, COAT_ENOMEM.
 */
int json_append(struct coat_buf *to, const void *bytes, size_t len);

/*
 * Put the value that the text is into a packer, whose finish still has to be asked. 0; COAT_EUSAGE
 * with the byte at fault: it is no JSON, or says what there is not; COAT_ENOMEM.
 */
int json_pack(struct coat_packer *to, const char *text, size_t len, struct coat_error *err);

#endif
