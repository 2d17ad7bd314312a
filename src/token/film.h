/* Films: frames in a folder, and the sound beside them. */
#ifndef TOKEN_FILM_H
#define TOKEN_FILM_H

#include "token/token.h"

bool film_is_frame(const char *name); /* by the ending of its name */

#endif
