/* What this program knows, as one number that rises with each release that adds to what nodes store
 * or say: its version of the formats. A cluster in the midst of an upgrade has members of two; what
 * only the newer knows is used when all members know it (service/cluster/versions.c). */
#ifndef WIRE_VERSION_H
#define WIRE_VERSION_H

#include <stdint.h>

/* Of the first release; members whose record names none are of it. */
#define WIRE_VERSION_FIRST 1

/* The highest that this program knows. */
unsigned wire_version(void);
/* Since which version a kind of command is known; 0: not known to this program. It stands at the
 * head of each command, so that a program that does not know the kind can say what it needs. */
unsigned wire_kind_version(uint64_t kind);

#endif
