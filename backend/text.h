/* text.h: texts that somebody owns or that are not there (NULL), as options are. */
#ifndef COAT_BACKEND_TEXT_H
#define COAT_BACKEND_TEXT_H

/* 1 if they are the same, or neither is there. */
int coat_text_equal(const char *a, const char *b);

/* *to becomes a copy, to be freed, whatever it was. 1; 0: no memory, and *to is NULL. */
int coat_text_copy(char **to, const char *from);

/* Frees a secret and leaves nothing of it in memory: *text is NULL then. */
void coat_text_wipe(char **text);

#endif
