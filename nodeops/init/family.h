/* Which processes belong to which invocation, whatever they did since: daemons, other users, other sessions, a cleared environment.
 *
 * A program is started with a mark: a value of RLIMIT_LOCKS, which Linux has not used since 2.4 (getrlimit(2)), which fork and exec
 * hand on, and which CRIU restores. Orphans become children of process 1, so all that belong to an invocation are its program, the
 * children of process 1 with its mark, and the descendants of these. Only a process that changes that limit itself escapes.
 */
#ifndef SWAPBED_FAMILY_H
#define SWAPBED_FAMILY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t family_new(void);
void family_add(pid_t pid, uint64_t mark);            /* a program that was just started */
uint64_t family_of_zombie(pid_t pid);                 /* of a child that ended and was not reaped yet; 0: nobody's */
void family_remove(pid_t pid);                        /* it was reaped */
bool family_alive(uint64_t mark);                     /* whether process 1 has a child with that mark */
int family_signal(uint64_t mark, int number);         /* to all of them, parents first; returns how many there were */

#endif
