/* What others want to know of the learned sound codec (rvq.c). */
#ifndef TOKEN_RVQ_H
#define TOKEN_RVQ_H

#include "config/token_config.h"

double rvq_kilobits(const token_config *config); /* of codes a second */


#endif
