#include "doc/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- one leaf and its ancestors --- */

static uint32_t path_n(const struct doc_leaf *leaf)
{
    return (uint32_t)(leaf->path.len / REVISION_HASH_BYTES);
}

/* The hash of its ancestor of that generation, or its own; NULL: not known. */
static const uint8_t *hash_at(const struct doc_leaf *leaf, uint32_t generation)
{
    uint32_t back;

    if (generation > leaf->revision.generation)
        return NULL;
    back = leaf->revision.generation - generation;
    if (back == 0)
        return leaf->revision.hash;
    return back > path_n(leaf) ? NULL : leaf->path.data + (size_t)(back - 1) * REVISION_HASH_BYTES;
}

bool doc_leaf_descends(const struct doc_leaf *leaf, const struct revision *revision)
{
    const uint8_t *hash = hash_at(leaf, revision->generation);

    return hash != NULL && memcmp(hash, revision->hash, REVISION_HASH_BYTES) == 0;
}

bool doc_tree_knows(const struct doc_record *record, const struct revision *revision)
{
    unsigned i;

    for (i = 0; i < record->leaves_n; i++) {
        if (doc_leaf_descends(&record->leaves[i], revision))
            return true;
    }
    return false;
}

static bool is_ancestor(const struct doc_leaf *leaf, const struct doc_leaf *of)
{
    return leaf->revision.generation < of->revision.generation &&
           doc_leaf_descends(of, &leaf->revision);
}

struct doc_leaf *doc_tree_parent(const struct doc_record *record, const struct doc_leaf *leaf)
{
    unsigned i;

    for (i = 0; i < record->leaves_n; i++) {
        if (is_ancestor(&record->leaves[i], leaf))
            return &record->leaves[i];
    }
    return NULL;
}

bool doc_tree_remove(struct doc_record *record, const struct revision *revision)
{
    struct doc_leaf *leaf = doc_record_find(record, revision);

    if (leaf == NULL)
        return false;
    record->leaves_n--;
    memmove(leaf, leaf + 1, (size_t)(record->leaves + record->leaves_n - leaf) * sizeof(*leaf));
    return true;
}

/* --- joining: what one path knows of another's past --- */

/* The ancestors that `other` knows beyond the oldest one of `leaf`. */
static struct bytes older_of(const struct doc_leaf *leaf, const struct doc_leaf *other)
{
    uint32_t oldest = leaf->revision.generation - path_n(leaf);
    const uint8_t *mine = hash_at(leaf, oldest), *theirs = hash_at(other, oldest);
    size_t at;

    if (theirs == NULL || memcmp(mine, theirs, REVISION_HASH_BYTES) != 0)
        return BYTES_NONE;
    at = (size_t)(other->revision.generation - oldest) * REVISION_HASH_BYTES;
    return bytes_slice(other->path, at, other->path.len);
}

/* Lengthens the path of `leaf` by what `other` knows, up to `hashes_max`. */
static enum qk_err join(struct doc_tree *tree, struct doc_leaf *leaf, const struct doc_leaf *other,
                        size_t hashes_max)
{
    struct bytes older = older_of(leaf, other);
    size_t len_max = hashes_max * REVISION_HASH_BYTES, at = tree->paths.len;

    if (older.len == 0 || leaf->path.len >= len_max)
        return QK_OK;
    /* All at once, so that what was lent out never moves. */
    if (at == 0 && buf_reserve(&tree->paths, tree->record.leaves_n * len_max * 2) != QK_OK)
        return buf_error(&tree->paths);
    older = bytes_slice(older, 0, len_max - leaf->path.len);
    if (leaf->path.len + older.len > tree->paths.cap - at)
        return QK_OK; /* lengthened again and again: what is known is enough */
    buf_put_bytes(&tree->paths, leaf->path);
    buf_put_bytes(&tree->paths, older);
    leaf->path = bytes_slice(buf_bytes(&tree->paths), at, tree->paths.len);
    tree->changed = true;
    return buf_error(&tree->paths);
}

/* The new leaf learns from all that were there, those that it ends included. */
static enum qk_err join_all(struct doc_tree *tree, const struct doc_record *before,
                            const struct doc_leaf *leaf, size_t hashes_max)
{
    struct doc_record *record = &tree->record;
    enum qk_err err = QK_OK;
    unsigned i;

    for (i = 0; err == QK_OK && tree->added != NULL && i < before->leaves_n; i++)
        err = join(tree, tree->added, &before->leaves[i], hashes_max);
    for (i = 0; err == QK_OK && i < record->leaves_n; i++) {
        if (&record->leaves[i] != tree->added)
            err = join(tree, &record->leaves[i], tree->added != NULL ? tree->added : leaf,
                       hashes_max);
    }
    return err;
}

/* --- the merge --- */

static void keep_leaves(struct doc_tree *tree, const struct doc_record *record,
                        const struct doc_leaf *leaf)
{
    unsigned i;

    for (i = 0; i < record->leaves_n; i++) {
        if (is_ancestor(&record->leaves[i], leaf))
            tree->changed = true;
        else
            tree->record.leaves[tree->record.leaves_n++] = record->leaves[i];
    }
}

static void add_leaf(struct doc_tree *tree, const struct doc_leaf *leaf)
{
    tree->added = &tree->record.leaves[tree->record.leaves_n++];
    *tree->added = *leaf;
    tree->changed = true;
}

enum qk_err doc_tree_merge(const struct doc_record *record, const struct doc_leaf *leaf,
                           unsigned revs_limit, struct doc_tree *ret_tree)
{
    size_t hashes_max = revs_limit - 1;
    enum qk_err err = QK_OK;
    unsigned i;

    assert(revs_limit > 0 && revs_limit <= DOC_RECORD_PATH_MAX);
    assert(leaf->revision.generation > path_n(leaf));

    *ret_tree = (struct doc_tree){.record = DOC_RECORD_EMPTY, .paths = BUF_INIT(SIZE_MAX)};
    ret_tree->record.leaves = calloc(record->leaves_n + 1, sizeof(*ret_tree->record.leaves));
    if (ret_tree->record.leaves == NULL)
        return QK_ERR_NOMEM;
    keep_leaves(ret_tree, record, leaf);
    if (!doc_tree_knows(record, &leaf->revision))
        add_leaf(ret_tree, leaf);
    if (ret_tree->record.leaves_n > DOC_RECORD_LEAVES_MAX)
        err = QK_ERR_TOO_BIG;
    if (err == QK_OK)
        err = join_all(ret_tree, record, leaf, hashes_max);
    for (i = 0; i < ret_tree->record.leaves_n; i++) {
        struct doc_leaf *kept = &ret_tree->record.leaves[i];

        kept->path = bytes_slice(kept->path, 0, hashes_max * REVISION_HASH_BYTES);
    }
    if (err != QK_OK)
        doc_tree_fini(ret_tree);
    return err;
}

void doc_tree_fini(struct doc_tree *tree)
{
    doc_record_fini(&tree->record);
    buf_fini(&tree->paths);
    tree->added = NULL;
}
