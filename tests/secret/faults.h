/* Makes one call of the system or of the allocator fail, the nth after faults_arm: a test repeats
 * its operation with n from 0 until none is left to fail. For executables linked with
 * faults_link_args, which put this between the libraries under test and libc. */
#ifndef TESTS_SECRET_FAULTS_H
#define TESTS_SECRET_FAULTS_H

#include <stdbool.h>

/* The nth call from now on (0: the next) fails with that errno, once. */
void faults_arm(unsigned n, int error);
/* The nth call of those that move bytes moves one byte alone, or is interrupted before it did. */
void faults_arm_short(unsigned n);
void faults_arm_interrupt(unsigned n);
/* Calls that the locked memory lives by do not fail, nor count: it ends the process where they do.
 */
void faults_files_only(void);
/* No more; true if it has failed. */
bool faults_disarm(void);

#endif
