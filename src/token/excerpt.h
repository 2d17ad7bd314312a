/* Tokens as one line for people: the text that they spell around one of them, which stands in brackets, in the same
 * column of every line. Characters are whole; what is no text, ends of lines and controls are escaped as by
 * text_escape; tokens without text are <start>, <end>, <pad> or <id>, and those of music, pictures and sound numbers.
 *
 *     char line[EXCERPT_BYTES(42)];
 *     excerpt(&t, ids, 1000, 17, 42, line);      // "en the dog likes one[ ]cat.\nthe king" */
#ifndef TOKEN_EXCERPT_H
#define TOKEN_EXCERPT_H

#include "token/token.h"

#define EXCERPT_BYTES(columns) (4 * (columns) + 1)
enum { EXCERPT_COLUMNS = 256 }; /* at most */

/* At most `columns` columns of a terminal around ids[at]; at -1: of the first ones, without brackets.
 * out [EXCERPT_BYTES(columns)] */
void excerpt(const tokenizer *t, const int32_t *ids, int64_t count, int64_t at, int columns, char *out);

#endif
