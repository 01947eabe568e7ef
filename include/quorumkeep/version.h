/* The version of Quorumkeep that a program is compiled against. */
#ifndef QUORUMKEEP_VERSION_H
#define QUORUMKEEP_VERSION_H

#define QUORUMKEEP_VERSION "0.1.0"
#define QUORUMKEEP_VERSION_MAJOR 0
#define QUORUMKEEP_VERSION_MINOR 1
#define QUORUMKEEP_VERSION_PATCH 0

#endif
