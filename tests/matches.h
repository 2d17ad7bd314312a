/* What an index of tokens is to find, by looking at every place (model/ngram_index.h). */
#ifndef TESTS_MATCHES_H
#define TESTS_MATCHES_H

#include "model/ngram_index.h"

/* The nearest places in front of `place` behind the same `order` tokens, none of them in front of `begin`. */
static inline int search_matches(const int32_t *ids, int64_t begin, int64_t order, int64_t place, int most,
                                 ngram_match *found) {
    int count = 0;
    for (int64_t there = place - 1; there >= begin && count < most; there--) {
        int64_t length = 0;
        while (length < LONGEST_MATCH && there - length >= begin && ids[there - length] == ids[place - length]) length++;
        if (length >= order) found[count++] = (ngram_match){there, length};
    }
    return count;
}

#endif
