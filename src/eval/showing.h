/* What a model says of a few examples, for people: beside what it should have said. */
#ifndef EVAL_SHOWING_H
#define EVAL_SHOWING_H

#include "base/text.h"
#include "data/example.h"
#include "media/picture.h"

/* Does it say what can be shown as a picture: motions or films? As a text: what was hidden? */
bool shows_picture(const dataset *d);
bool shows_text(const dataset *d, const model_config *c);

/* A sheet of the first examples of a split. Of motions a row has both frames, the true motion and the told one; of
 * films the true frames stand above the told ones. */
int show_picture(model *m, tape *t, const dataset *d, split_name split, picture *sheet, pcv_error *err);

/* A piece of text with what was hidden in brackets: what the model says, and behind a bar what it was, where that is
 * something else. */
int show_text(model *m, tape *t, const dataset *d, split_name split, text *out, pcv_error *err);

#endif
