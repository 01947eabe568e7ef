/* Bodies of _find and _explain: what is taken is within its bounds, what is refused has a problem;
 * then its bookmark, which any client may make up: what is taken begins at an id, and is told as
 * the same bookmark again. */
#include <string.h>

#include "fuzz.h"
#include "service/query/find_private.h"

static const char *const seeds[] = {
    "{\"selector\":{\"a\":{\"$gt\":1}},\"sort\":[{\"a\":\"desc\"},{\"b\":\"desc\"}],\"limit\":5,"
    "\"skip\":1}",
    "{\"selector\":{},\"use_index\":\"_design/x/y\",\"fields\":[\"_id\",\"a.b\\\\.c\"],\"r\":2}",
    "{\"selector\":{\"$or\":[{\"a\":1},{\"b\":{\"$in\":[1]}}]},\"use_index\":[\"x\",\"y\"],"
    "\"conflicts\":true,\"execution_stats\":true,\"allow_fallback\":false}",
    "{\"selector\":{},\"bookmark\":\"WyJhIl0=\",\"stale\":\"ok\",\"update\":false}",
    "{\"selector\":{},\"bookmark\":\"W1sxLCJ4Il0sImEiXQ==\",\"partition\":\"\",\"stable\":true}",
    "{\"selector\":{\"_id\":{\"$beginsWith\":\"a\"}},\"bookmark\":null,\"sort\":[\"_id\"]}",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

static bool parse_bookmark(struct find *find, struct bytes text)
{
    struct doc_problem problem = {0};
    enum qk_err err;

    find->has_begin = false;
    buf_reset(&find->begin_id);
    buf_reset(&find->begin_key);
    find->wish.bookmark = text;
    err = find_bookmark_parse(find, &problem);
    fuzz_require(err == QK_OK || (err == QK_ERR_INVALID && problem.status == 400));
    return err == QK_OK && find->has_begin;
}

static void fuzz_bookmark(struct find *find)
{
    struct buf again = BUF_SECRET_INIT(4 * FIND_KEY_BYTES_MAX);
    struct buf id = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);

    if (!parse_bookmark(find, find->wish.bookmark))
        return;
    buf_put_bytes(&id, buf_bytes(&find->begin_id));
    find->has_last = true;
    buf_put_bytes(&find->last_id, buf_bytes(&find->begin_id));
    buf_put_bytes(&find->last_key, buf_bytes(&find->begin_key));
    fuzz_must(find_bookmark_put(find, &again)); /* in quotes */
    fuzz_require(parse_bookmark(find, bytes_slice(buf_bytes(&again), 1, again.len - 2)));
    fuzz_require(bytes_equal(buf_bytes(&find->begin_id), buf_bytes(&id)));
    fuzz_require(bytes_equal(buf_bytes(&find->begin_key), buf_bytes(&find->last_key)));
    buf_fini(&again);
    buf_fini(&id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct request request = {.method = METHOD_POST, .body = bytes_of(data, len)};
    struct doc_problem problem = {0};
    struct find find;
    enum qk_err err;

    memset(&find, 0, sizeof find);
    find.begin_key = find.last_key = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);
    find.begin_id = find.last_id = BUF_SECRET_INIT(FIND_KEY_BYTES_MAX);
    err = find_wish_parse(&request, &find.wish, &problem);
    if (err == QK_OK) {
        fuzz_require(find.wish.selector != NULL && find.wish.sort_n <= FIND_SORTS_MAX &&
                     find.wish.fields_n <= FIND_FIELDS_MAX && find.wish.r > 0);
        fuzz_touch(find.wish.use_design);
        fuzz_touch(find.wish.use_view);
        fuzz_bookmark(&find);
    } else {
        fuzz_require(problem.status >= 400 && problem.error != NULL);
    }
    find_wish_fini(&find.wish);
    buf_fini(&find.begin_key);
    buf_fini(&find.begin_id);
    buf_fini(&find.last_key);
    buf_fini(&find.last_id);
    return 0;
}
