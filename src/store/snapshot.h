/* What both ends of a snapshot's stream know of its layout; see snapshot.c. */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <sodium.h>

#include "store/format.h"

#define SNAPSHOT_MAGIC "QKSNAP01"
#define SNAPSHOT_DELTA_MAGIC "QKDELTA1"
#define SNAPSHOT_MAGIC_BYTES 8
#define SNAPSHOT_KEPT 16 /* added to the table's number */
#define SNAPSHOT_KEPT_MAX 1024
#define SNAPSHOT_HEAD_BYTES 32
#define SNAPSHOT_ROW_HEAD_BYTES 7
#define SNAPSHOT_HASH_BYTES 32
#define SNAPSHOT_END_BYTES (9 + SNAPSHOT_HASH_BYTES)
#define SNAPSHOT_TABLES_N 4

extern const enum format_table snapshot_tables[SNAPSHOT_TABLES_N];

#endif
