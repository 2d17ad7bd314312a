/* What the names of files say: rules of the user, lists of checksums, and splits.
 *
 * A name is that of a split where one of its parts between dots is train, validation, valid, val, dev or test, a number
 * behind it left out: test.txt, wiki.train.tokens, train-00000-of-00002.txt, a folder `val`. Programs and pages
 * (train.py, test.md) are none. One such name says little, two side by side say what they are: among the inputs and at
 * the top of the input folders, or in one folder right below. Of two folders one must be named train, for source trees
 * hold `test` and `dev`. Where that is so, names decide for all inputs. What a folder holds that is a document is no
 * split. */
#ifndef DATA_INPUT_NAMES_H
#define DATA_INPUT_NAMES_H

#include "data/dataset.h"

enum { DEALT = -1 };      /* the split of what has none yet */

bool documents_are_folders(const pcv_prepare_options *o);

/* Names of splits stand so many folders down: in an input folder, or in one that is in it and no document. */
int names_depth(const pcv_prepare_options *o);

/* Do the patterns (NULL: none) name it, by the path within its input folder or by its last part? */
bool name_matches(const char *const *patterns, const char *relative);

bool name_is_checksums(const char *name);

int split_of_name(const char *name); /* or DEALT */
int split_of_path(const char *path); /* the same of its last part; slashes may follow */

/* Do names decide, as they do unless percentages are given? */
bool names_decide(const pcv_prepare_options *o);

/* Is anything in the folder, or right below, named as a split? */
bool folder_has_names(const char *folder, const pcv_prepare_options *o);

#endif
