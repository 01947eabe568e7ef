/* Revision trees: what becomes of a document's leaves when a revision arrives.
 *
 * A record holds the leaves of the tree, each with the path of its ancestors (doc/record.h); the
 * leaves together are the tree, cut at the database's limit. A revision that comes with its own
 * path (an edit made here, or one that replication brings) is merged: if the tree knows it, nothing
 * is added; the leaves that it descends from end; else it stands beside them, as a conflict. Which
 * leaf wins depends on the leaves alone (doc_record_leaf_compare), so that all who have the same
 * leaves agree, in whatever order they got them. The rules are those of CouchDB's couch_key_tree.
 * Pure. */
#ifndef DOC_TREE_H
#define DOC_TREE_H

#include "doc/record.h"

/* The tree after a merge. Ends with doc_tree_fini. */
struct doc_tree {
    struct doc_record record; /* its leaves borrow from what was merged, and from `paths` */
    struct buf paths;         /* paths that are longer than before */
    struct doc_leaf *added;   /* the new leaf, in `record`; NULL: its revision was known */
    bool changed;             /* anything is different, leaves or paths */
};

/* Merges `leaf` into the tree of `record`, which stays as it is; each path is cut so that it and
 * its leaf are at most `revs_limit` revisions. QK_ERR_TOO_BIG: more than DOC_RECORD_LEAVES_MAX
 * leaves. QK_ERR_NOMEM. */
MUST_USE enum qk_err doc_tree_merge(const struct doc_record *record, const struct doc_leaf *leaf,
                                    unsigned revs_limit, struct doc_tree *ret_tree);
void doc_tree_fini(struct doc_tree *tree);

/* True if `revision` is the leaf's, or one of its ancestors'. */
bool doc_leaf_descends(const struct doc_leaf *leaf, const struct revision *revision);
/* True if `revision` is anywhere in the tree. */
bool doc_tree_knows(const struct doc_record *record, const struct revision *revision);
/* The leaf that `leaf` descends from, if any. */
struct doc_leaf *doc_tree_parent(const struct doc_record *record, const struct doc_leaf *leaf);
/* Takes the leaf of that revision out; false if there is none. The record may be left empty. */
bool doc_tree_remove(struct doc_record *record, const struct revision *revision);

#endif
