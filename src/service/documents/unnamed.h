/* Contents of attachments that no document names, and their end.
 *
 * An upload (service/documents/upload.h) writes its chunks before the document that will name them;
 * its unnamed record (service/unnamed_record.h) stands there meanwhile. Uploads run on the leader,
 * in its memory: a record that the leader does not know as one of its own is what an upload left
 * behind that died with its client, its leader or its process, or what an edit dropped that had
 * many chunks. The leader looks for such when its term begins, soon after an upload or such an edit
 * has ended, and every minute; it deletes the chunks in small commands, and with the last of them
 * the record. No clock decides: each command of an upload and of a deletion has the record as its
 * condition, so of an upload's end and its deletion the one that is first in the log wins, and the
 * other does nothing. */
#ifndef SERVICE_DOCUMENTS_UNNAMED_H
#define SERVICE_DOCUMENTS_UNNAMED_H

#include "doc/attachment.h"
#include "service/service.h"
#include "wire/records.h"

struct unnamed;

/* An upload of this process: its record is not looked at. A member of whoever it is. */
struct unnamed_active {
    struct unnamed_active *next;
    uint8_t id[ATTACHMENT_ID_BYTES];
};

/* One a process. Frees itself in the loop after unnamed_free. */
MUST_USE enum qk_err unnamed_new(struct service *service, struct unnamed **ret_unnamed);
/* Begins nothing new. Takes NULL. */
void unnamed_stop(struct unnamed *unnamed);
/* When consensus is closed; takes NULL. */
void unnamed_free(struct unnamed *unnamed);

void unnamed_begin(struct unnamed *unnamed, struct unnamed_active *active);
/* NULL, when the node has ended, is fine. Whatever became of it: what is left of it is looked for
 * soon. */
void unnamed_end(struct unnamed *unnamed, struct unnamed_active *active);
/* Some of it is written. */
void unnamed_written(struct unnamed *unnamed, uint64_t bytes);
/* Something is about to become unnamed: looks soon. */
void unnamed_soon(struct unnamed *unnamed);

/* Since the start: contents whose chunks were deleted so, and records that were not genuine. */
struct unnamed_figures {
    uint64_t removed_n, damaged_n;
    uint64_t written_bytes; /* of uploads, whatever became of them */
    size_t active_n;
};
void unnamed_figures(const struct unnamed *unnamed, struct unnamed_figures *ret_figures);

#endif
