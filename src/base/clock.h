/* Time. Only the monotonic clock decides anything; the wall clock dates things for people. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/* Seconds since an arbitrary fixed point; never runs backward. */
double clock_now(void);

/* Seconds since 1970, for time stamps in logs. */
double clock_wall(void);

#endif
