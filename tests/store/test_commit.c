/* When what is applied comes to be in the file. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include "fixture.h"

/* A deal, a key, a right: with the documents before it, however long documents alone would wait. */
Test(commit, what_is_no_document_is_not_kept_waiting_with_documents)
{
    struct fixture f;

    fixture_init(&f);
    fixture_close(&f);
    f.options.commit_ms = 3600000;
    f.options.commit_soon_ms = 1;
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "a", 1, WIRE_DOC, "1"), QK_OK);
    for (int i = 0; i < 50; i++) {
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    cr_assert_eq(store_synced(f.store), 0, "documents wait for others");
    cr_assert_eq(test_put(&f, 'A', "deal", 1, 0, "1"), QK_OK);
    while (store_synced(f.store) < 2)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    fixture_fini(&f);
}
