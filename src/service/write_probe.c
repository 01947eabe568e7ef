#include "service/write_probe.h"

#include "service/submit.h"

#define DRAIN_BYTES_MAX (64 * MIB)
#define DRAIN_PIECE_BYTES (512 * KIB)

static enum qk_err probe_evaluate(void *arg, struct wire_command *command)
{
    struct write_probe *probe = arg;
    struct wire_command unused;
    enum qk_err err;

    (void)command; /* nothing is added, so the submit ends with a read point */
    wire_command_begin(&unused, WIRE_WRITE);
    err = write_evaluate(probe->service, &probe->write, &unused);
    wire_command_fini(&unused);
    return err;
}

static void probe_result(void *arg, size_t at, const struct wire_result *result)
{
    (void)arg;
    (void)at;
    (void)result;
}

static void probe_done(void *arg, enum qk_err err)
{
    struct write_probe *probe = arg;

    probe->err = err;
    probe->done(probe->arg);
}

static const struct submit_ops probe_ops = {probe_evaluate, probe_result, probe_done};

void write_probe_start(struct write_probe *probe, struct service *service,
                       struct exchange *exchange, struct bytes id, const struct document *document,
                       const struct write_how *how, void (*done)(void *arg), void *arg)
{
    struct record_key key;
    struct bytes view;
    enum qk_err err = service_is_open(service) ? QK_OK : QK_ERR_SEALED;

    *probe = (struct write_probe){.service = service,
                                  .write = {.exchange = exchange,
                                            .database_name = exchange->request.segments[0],
                                            .id = id,
                                            .document = document,
                                            .attachment = how->attachment,
                                            .must_exist = how->must_exist,
                                            .replicated = how->replicated},
                                  .done = done,
                                  .arg = arg};
    if (err == QK_OK)
        err = write_latch(service, probe->write.database_name, id, &key);
    if (err == QK_OK) {
        view = record_key_bytes(&key);
        err = submit_start(service, &view, 1, &probe_ops, probe);
    }
    if (err != QK_OK)
        probe_done(probe, err);
}

bool write_probe_is_yes(const struct write_probe *probe)
{
    return probe->err == QK_OK &&
           (probe->write.state == WRITE_OPEN || probe->write.state == WRITE_DONE);
}

static void probe_drain(void *arg)
{
    struct write_probe *probe = arg;
    struct exchange *exchange = probe->write.exchange;

    if (exchange->body.streamed)
        exchange_body_taken(exchange);
    if (exchange->body.streamed && !exchange->closed && !exchange->body.ended &&
        exchange->body.length <= DRAIN_BYTES_MAX) {
        exchange_body_wait(exchange, DRAIN_PIECE_BYTES, probe_drain, probe);
        return;
    }
    write_reply(probe->service, exchange, &probe->write, 201, probe->err);
    probe->done(probe->arg);
}

void write_probe_refuse(struct write_probe *probe, void (*ended)(void *arg), void *arg)
{
    probe->done = ended;
    probe->arg = arg;
    probe_drain(probe);
}
