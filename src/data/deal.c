#include "data/deal.h"
#include "base/number.h"

int deal_shares(int *percent, const char *text, pcv_error *err) {
    const char *shares = text ? text : "90,5,5";
    int64_t part[SPLITS];
    int count = 0, status = number_read_wholes("--split", shares, ',', 0, 100, part, SPLITS, &count, err);
    if (status) return status;
    for (int i = 0; i < count; i++) percent[i] = (int)part[i];
    if (count == SPLITS && part[0] > 0 && part[0] + part[1] + part[2] == 100) return 0;
    return fail(err, PCV_USAGE, "--split '%.40s': expected three percentages that make 100, like 90,5,5", shares);
}

int deal_wanted(const int *percent) { return (percent[0] > 0) + (percent[1] > 0) + (percent[2] > 0); }

split_name file_dealer_next(const file_dealer *d) {
    int64_t all = d->dealt[0] + d->dealt[1] + d->dealt[2] + 1, most = INT64_MIN;
    split_name next = SPLIT_TRAIN;
    for (int s = SPLIT_TEST; s >= SPLIT_TRAIN; s--) {
        int64_t lack = d->percent[s] * all - 100 * d->dealt[s];
        if (d->percent[s] && !d->dealt[s]) return (split_name)s;
        if (lack > most && d->percent[s]) {
            most = lack;
            next = (split_name)s;
        }
    }
    return next;
}

void file_dealer_take(file_dealer *d) { d->dealt[file_dealer_next(d)]++; }

/* Split s comes next with a probability of left[s] in all that are left. */
static void draw(document_dealer *d) {
    int64_t left = d->left[0] + d->left[1] + d->left[2];
    int64_t at = left > 0 ? (int64_t)rng_below(&d->random, (uint64_t)left) : 0;
    d->next = SPLIT_TRAIN;
    while (d->next < SPLIT_TEST && at >= d->left[d->next]) at -= d->left[d->next++];
}

void document_dealer_open(document_dealer *d, const int *percent, int64_t documents, uint64_t seed, uint32_t file) {
    int64_t *left = d->left, given = 0;
    d->random = rng_make(seed, RNG_SPLIT, file);
    for (int s = 1; s < SPLITS; s++) {
        left[s] = (int64_t)(((double)documents * percent[s] + 50) / 100);
        if (!left[s] && percent[s]) left[s] = 1;
        given += left[s];
    }
    for (; given > 0 && given >= documents; given--) left[left[1] > left[2] ? 1 : 2]--; /* one is left to train on */
    left[0] = documents - given;
    draw(d);
}

void document_dealer_take(document_dealer *d) {
    d->left[d->next]--;
    draw(d);
}
