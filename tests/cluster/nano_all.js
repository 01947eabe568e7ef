// Does with nano, as it comes, everything that its README lists, in the README's order. Two addresses:
// what is written by one node is read by another. Prints a line a part; exits 0 if none failed.
'use strict';
const assert = require('node:assert');
const { Writable } = require('node:stream');
const nanoOf = require('nano');

const [writer, reader] = process.env.QK_ADDRESSES.split(' ');
const { QK_USER: username, QK_PASSWORD: password } = process.env;
const only = process.argv.slice(2);
const failures = [];
process.on('unhandledRejection', (error) => console.log(`     (also: ${error.message})`));

async function part(name, run) {
    if (only.length > 0 && !only.includes(name))
        return;
    try {
        await run();
        console.log(`ok   ${name}`);
    } catch (error) {
        failures.push(name);
        console.log(`FAIL ${name}: ${error.request ? error.request.method + ' ' + error.request.url : ''} ${error.stack}${error.description ? ' ' + error.description : ''}`);
    }
}

async function refused(status, promise) {
    let error;
    try {
        await promise;
    } catch (e) {
        error = e;
    }
    assert(error, `no refusal with ${status}`);
    assert.strictEqual(error.statusCode, status, `${error.statusCode} ${error.message}`);
    return error;
}

function read(stream) {
    return new Promise((resolve, reject) => {
        const pieces = [];
        stream.on('error', reject);
        stream.pipe(new Writable({
            write(piece, encoding, done) {
                pieces.push(Buffer.from(piece));
                done();
            },
        })).on('finish', () => resolve(Buffer.concat(pieces))).on('error', reject);
    });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, condition, seconds = 30) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const found = await condition();
        if (found)
            return found;
        assert(Date.now() < end, `waited ${seconds} s in vain for ${what}`);
        await pause(50);
    }
}

const anonymous = nanoOf(writer);
const headers = { Authorization: 'Basic ' + Buffer.from(`${username}:${password}`).toString('base64') };
const nano = nanoOf({ url: writer, headers });
const other = nanoOf({ url: reader, headers });
const alice = nano.use('alice');
const elsewhere = other.use('alice');
const image = Buffer.from(Array.from({ length: 700000 }, (unused, i) => (i * 7 + (i >> 8)) & 0xff));

async function cookies() {
    await refused(401, anonymous.use('alice').get('rabbit'));
    await refused(401, anonymous.auth(username, 'wrong'));
    const logged = await anonymous.auth(username, password);
    assert.strictEqual(logged.ok, true);
    const session = await anonymous.session();
    assert.strictEqual(session.userCtx.name, username);
    assert.strictEqual(session.info.authenticated, 'cookie');
    const db = anonymous.use('alice');
    const made = await db.insert({ by: 'cookie' }, 'by-cookie');
    const put = await db.attachment.insert('by-cookie', 'a.png', image.subarray(0, 10), 'image/png', { rev: made.rev });
    await db.destroy('by-cookie', put.rev);
}

async function databases() {
    assert.deepStrictEqual(await nano.db.create('alice', { n: 3 }), { ok: true });
    await refused(412, nano.db.create('alice'));
    await refused(400, nano.db.create('Alice'));
    const info = await nano.db.get('alice');
    assert.strictEqual(info.db_name, 'alice');
    assert.strictEqual(info.doc_count, 0);
    await refused(404, nano.db.get('none'));
    await nano.db.create('passing');
    assert.deepStrictEqual(await nano.db.destroy('passing'), { ok: true });
    await refused(404, nano.db.destroy('passing'));
    assert((await nano.db.list()).includes('alice'));
    assert(JSON.parse(await read(nano.db.listAsStream())).includes('alice'));
    assert.deepStrictEqual(await nano.db.compact('alice'), { ok: true });
    const server = await nano.info();
    assert.strictEqual(server.couchdb, 'Welcome');
    assert.strictEqual((await alice.info()).db_name, 'alice');
    for (const db of [nano.use('alice'), nano.db.use('alice'), nano.db.scope('alice'), nano.scope('alice')])
        assert.strictEqual((await db.info()).db_name, 'alice');
    assert.strictEqual(alice.config.db, 'alice');
    // That is all that can be asked of it: nano 11.0.7 takes such a database for a part of every path, /alice/alice.
    assert.strictEqual(nanoOf(`${writer}/alice`).config.db, 'alice');
    const raw = await nano.request({ db: 'alice', method: 'get', path: '_all_docs', qs: { limit: 1 } });
    assert.deepStrictEqual(raw.rows, []);
    assert.deepStrictEqual(await nano.relax({ db: 'alice' }), await nano.db.get('alice'));
}

async function updates() {
    const waiting = nano.updates({ feed: 'longpoll', timeout: 20000, since: 'now' });
    await pause(200);
    await nano.db.create('updated');
    const { results, last_seq: last } = await waiting;
    assert(results.some((one) => one.db_name === 'updated' && one.type === 'created'), JSON.stringify(results));
    assert(last !== undefined);
    await nano.db.destroy('updated');
}

async function documents() {
    const first = await alice.insert({ happy: true }, 'rabbit');
    assert.strictEqual(first.ok, true);
    assert.strictEqual(first.id, 'rabbit');
    assert.match(first.rev, /^1-[0-9a-f]{32}$/);
    await refused(409, alice.insert({ happy: true }, 'rabbit'));
    const own = await alice.insert({ _id: 'myid', happy: true });
    const second = await alice.insert({ _id: 'myid', _rev: own.rev, happy: false });
    assert.match(second.rev, /^2-/);
    const made = await alice.insert({ who: 'no id' });
    assert.match(made.id, /^[0-9a-f]{32}$/);
    const named = await alice.insert({ a: 1 }, { docName: 'with/slash & more' });
    assert.strictEqual(named.id, 'with/slash & more');
    assert.strictEqual((await elsewhere.get('with/slash & more')).a, 1);
    const doc = await elsewhere.get('rabbit', { revs_info: true });
    assert.deepStrictEqual(doc._revs_info, [{ rev: first.rev, status: 'available' }]);
    assert.strictEqual(doc.happy, true);
    assert.strictEqual((await refused(404, alice.get('hare'))).reason, 'missing');
    const head = await elsewhere.head('rabbit');
    assert.strictEqual(head.etag, `"${first.rev}"`);
    await refused(404, alice.head('hare'));
    await refused(409, alice.destroy('myid', own.rev));
    assert.strictEqual((await alice.destroy('myid', second.rev)).id, 'myid');
    assert.strictEqual((await refused(404, alice.get('myid'))).reason, 'deleted');
    await alice.insert({ title: 'é, 😀, "quotes"', big: 9007199254740991, none: null }, 'ünï/😀');
    assert.strictEqual((await elsewhere.get('ünï/😀')).title, 'é, 😀, "quotes"');
}

async function many() {
    const docs = [{ a: 1, b: 2 }, { _id: 'tiger', striped: true }, { _id: 'rabbit', happy: false }];
    const results = await alice.bulk({ docs });
    assert.strictEqual(results.length, 3);
    assert.strictEqual(results[1].ok, true);
    assert.strictEqual(results[2].error, 'conflict');
    const all = await elsewhere.list();
    assert.strictEqual(all.rows.length, all.total_rows);
    assert(all.rows.find((row) => row.id === 'rabbit').value.rev.startsWith('1-'));
    const some = await elsewhere.list({ include_docs: true, startkey: 'rabbit', endkey: 'tiger', limit: 10 });
    assert.deepStrictEqual(some.rows.map((row) => row.id), ['rabbit', 'tiger']);
    assert.strictEqual(some.rows[1].doc.striped, true);
    const stream = JSON.parse(await read(elsewhere.listAsStream({ keys: ['tiger', 'hare'] })));
    assert.strictEqual(stream.rows[0].id, 'tiger');
    assert.strictEqual(stream.rows[1].error, 'not_found');
    const fetched = await elsewhere.fetch({ keys: ['tiger', 'rabbit'] });
    assert.deepStrictEqual(fetched.rows.map((row) => row.doc._id), ['tiger', 'rabbit']);
    const revs = await elsewhere.fetchRevs({ keys: ['tiger', 'hare'] });
    assert.match(revs.rows[0].value.rev, /^1-/);
    assert.strictEqual(revs.rows[0].doc, undefined);
}

async function changes() {
    const all = await other.db.changes('alice');
    assert(all.results.length > 5 && all.last_seq !== undefined);
    const after = await elsewhere.changes({ since: all.results[1].seq, include_docs: true });
    assert.strictEqual(after.results.length, all.results.length - 2);
    assert(after.results.every((change) => change.doc._id === change.id));
    const text = await read(elsewhere.changesAsStream({ limit: 2 }));
    assert.strictEqual(JSON.parse(text).results.length, 2);
    await refused(400, alice.changes({ since: 'nonsense-x' }).then((r) => r, (e) => { throw e; }));
}

function gathered(events, enough) {
    return new Promise((resolve, reject) => {
        const seen = [];
        events.on('change', (change) => {
            seen.push(change);
            if (seen.length === enough)
                resolve(seen);
        });
        events.on('error', reject);
        events.on('end', () => resolve(seen));
    });
}

async function changesReader() {
    const total = (await alice.changes()).results.length;
    const all = await gathered(elsewhere.changesReader.get({ since: '0', batchSize: 3, timeout: 500 }), 100000);
    assert.strictEqual(all.length, total);
    const db = other.use('alice');
    const following = gathered(db.changesReader.start({ includeDocs: true }), 2);
    await pause(300);
    await alice.insert({ n: 1 }, 'live-1');
    await alice.insert({ n: 2 }, 'live-2');
    const live = await following;
    db.changesReader.stop();
    assert.deepStrictEqual(live.map((change) => change.doc.n), [1, 2]);
    const chosen = await gathered(nano.use('alice').changesReader.get(
        { since: '0', timeout: 500, selector: { n: { $gt: 1 } } }), 100000);
    assert.deepStrictEqual(chosen.map((change) => change.id), ['live-2']);
    const spooled = await new Promise((resolve, reject) => {
        const rows = [];
        nano.use('alice').changesReader.spool({ since: '0', batchSize: 4 })
            .on('batch', (batch) => rows.push(...batch)).on('error', reject)
            .on('end', (seq) => resolve({ rows, seq }));
    });
    assert.strictEqual(spooled.rows.length, total + 2);
    assert(spooled.seq !== undefined && spooled.seq !== '0');
    const paused = nano.use('alice');
    const batches = [];
    const done = new Promise((resolve, reject) => {
        paused.changesReader.get({ since: '0', batchSize: 5, wait: true, timeout: 500 })
            .on('batch', (batch) => {
                batches.push(batch.length);
                setTimeout(() => paused.changesReader.resume(), 20);
            }).on('end', resolve).on('error', reject);
    });
    await done;
    assert.strictEqual(batches.reduce((a, b) => a + b, 0), total + 2);
}

async function multipart() {
    const parts = [
        { name: 'rabbit.png', data: image, content_type: 'image/png' },
        { name: 'note.txt', data: 'Hello\r\n--World--\r\n', content_type: 'text/plain' },
    ];
    const made = await alice.multipart.insert({ foo: 'bar' }, parts, 'mydoc');
    assert.strictEqual(made.ok, true);
    const doc = await elsewhere.get('mydoc');
    assert.strictEqual(doc.foo, 'bar');
    assert.deepStrictEqual(Object.keys(doc._attachments).sort(), ['note.txt', 'rabbit.png']);
    assert.strictEqual(doc._attachments['rabbit.png'].length, image.length);
    assert.strictEqual(doc._attachments['rabbit.png'].stub, true);
    assert.match(doc._attachments['rabbit.png'].digest, /^md5-/);
    const body = (await elsewhere.multipart.get('mydoc')).toString(); // as text, whatever its README says
    assert(body.includes('"foo":"bar"') && body.includes('Hello\r\n--World--\r\n'), body.slice(0, 500));
}

async function attachments() {
    const { _rev: rev } = await alice.get('rabbit');
    const made = await alice.attachment.insert('rabbit', 'picture.png', image, 'image/png', { rev });
    assert.match(made.rev, /^2-/);
    await refused(409, alice.attachment.insert('rabbit', 'other.png', image, 'image/png', { rev }));
    assert((await elsewhere.attachment.get('rabbit', 'picture.png')).equals(image));
    assert((await read(elsewhere.attachment.getAsStream('rabbit', 'picture.png'))).equals(image));
    const streamed = await alice.attachment.insert('rabbit', 'streamed.bin', require('node:stream').Readable.from(
        [image.subarray(0, 1000), image.subarray(1000, 400000), image.subarray(400000)]),
    'application/octet-stream', { rev: made.rev });
    assert((await elsewhere.attachment.get('rabbit', 'streamed.bin')).equals(image));
    await refused(404, alice.attachment.get('rabbit', 'none.png'));
    const last = await alice.attachment.destroy('rabbit', 'picture.png', { rev: streamed.rev });
    assert.match(last.rev, /^4-/);
    await refused(404, elsewhere.attachment.get('rabbit', 'picture.png'));
    const doc = await alice.get('rabbit', { attachments: true });
    assert(Buffer.from(doc._attachments['streamed.bin'].data, 'base64').equals(image));
}

async function views() {
    const tea = [{ _id: 'c1', name: 'Tea Party', suit: 'Hearts', n: 3 }, { _id: 'c2', name: 'Chess', suit: 'Clubs', n: 4 },
        { _id: 'c3', name: 'Croquet', suit: 'Hearts', n: 5 }];
    await alice.bulk({ docs: tea });
    await alice.insert({
        views: {
            happy_ones: { map: 'function (doc) { if (doc.suit) { emit(doc.name, doc.n); } }' },
            soldiers: { map: 'function (doc) { if (doc.suit) { emit(doc.suit, doc.n); } }', reduce: '_sum' },
        },
    }, '_design/characters');
    await alice.insert({
        language: 'query',
        views: { soldiers: { map: { fields: { suit: 'asc' } }, reduce: '_count' } },
    }, '_design/native');
    const all = await elsewhere.view('characters', 'happy_ones');
    assert.deepStrictEqual(all.rows.map((row) => row.key), ['Chess', 'Croquet', 'Tea Party']);
    const one = await elsewhere.view('characters', 'happy_ones', { key: 'Tea Party', include_docs: true });
    assert.deepStrictEqual(one.rows.map((row) => row.doc._id), ['c1']);
    const keys = await elsewhere.view('characters', 'soldiers', { keys: ['Hearts', 'Clubs'], reduce: false });
    assert.deepStrictEqual(keys.rows.map((row) => row.id), ['c1', 'c3', 'c2']);
    const sums = await elsewhere.view('characters', 'soldiers', { group: true });
    assert.deepStrictEqual(sums.rows, [{ key: 'Clubs', value: 4 }, { key: 'Hearts', value: 8 }]);
    assert.strictEqual((await elsewhere.view('characters', 'soldiers')).rows[0].value, 12);
    const stream = await read(elsewhere.viewAsStream('characters', 'happy_ones', { reduce: false }));
    assert.strictEqual(JSON.parse(stream).rows.length, 3);
    const counts = await elsewhere.view('native', 'soldiers', { group: true });
    assert.deepStrictEqual(counts.rows, [{ key: ['Clubs'], value: 1 }, { key: ['Hearts'], value: 2 }]);
    assert.deepStrictEqual(await nano.db.compact('alice', 'characters'), { ok: true });
    assert.deepStrictEqual(await alice.view.compact('characters'), { ok: true });
    await refused(404, alice.view('characters', 'none'));
}

async function find() {
    await alice.bulk({ docs: ['Brian', 'Ada', 'Brian'].map((name, i) => ({ _id: `f${i}`, name, age: 24 + i, tags: [i] })) });
    const index = await alice.createIndex({ index: { fields: ['name', 'age'] }, name: 'by-name' });
    assert.strictEqual(index.result, 'created');
    const query = { selector: { name: { $eq: 'Brian' }, age: { $gt: 25 } }, fields: ['name', 'age', 'tags', 'url'], limit: 50 };
    const found = await elsewhere.find(query);
    assert.deepStrictEqual(found.docs, [{ name: 'Brian', age: 26, tags: [2] }]);
    assert.strictEqual(found.warning, undefined);
    const stream = JSON.parse(await read(elsewhere.findAsStream(query)));
    assert.deepStrictEqual(stream.docs, found.docs);
    await refused(400, alice.find({ selector: { name: { $nonsense: 1 } } }));
}

// A node speaks to another as to any server: the target is its own address, with a login in the URL.
const address = (name) => writer.replace('//', `//${encodeURIComponent(username)}:${encodeURIComponent(password)}@`) + '/' + name;

async function replication() {
    const result = await nano.db.replicate(address('alice'), address('copied'), { create_target: true });
    assert.strictEqual(result.ok, true);
    const count = (await alice.info()).doc_count;
    assert.strictEqual((await other.use('copied').info()).doc_count, count, JSON.stringify(result));
    const made = await nano.db.replication.enable(address('alice'), address('kept'), { create_target: true });
    const state = await until('the replication', async () => {
        const doc = await nano.db.replication.query(made.id);
        assert(!JSON.stringify(doc).includes(password), 'the password is shown');
        return doc._replication_state === 'completed' && doc;
    });
    assert.strictEqual((await other.use('kept').info()).doc_count, count);
    await nano.db.replication.disable(made.id, state._rev);
    await refused(404, nano.db.replication.query(made.id));
}

async function uuids() {
    assert.strictEqual((await nano.uuids()).uuids.length, 1);
    const { uuids: three } = await nano.uuids(3);
    assert(three.length === 3 && new Set(three).size === 3 && three.every((uuid) => /^[0-9a-f]{32}$/.test(uuid)));
}

async function logging() {
    const lines = [];
    const logged = nanoOf({ url: writer, headers, log: (line) => lines.push(line) });
    await logged.use('alice').list({ limit: 5 });
    assert(lines.length >= 2);
    const custom = nanoOf({ url: writer, headers: { ...headers, mycustomheader: '42' }, parseUrl: false });
    assert.strictEqual((await custom.use('alice').info()).db_name, 'alice');
}

// What is not here is refused in words, never answered by something else: docs/couchdb.md has the reasons.
async function absent() {
    await alice.insert({ shows: { s: 'function () {}' }, lists: { l: 'function () {}' }, updates: { u: 'function () {}' } },
        '_design/functions');
    for (const begin of [
        () => alice.show('functions', 's', 'rabbit'),
        () => alice.viewWithList('functions', 'v', 'l'),
        () => alice.atomic('functions', 'u', 'rabbit', { a: 1 }),
        () => alice.search('functions', 's', { q: 'cat' }),
        () => alice.partitionInfo('p'),
        () => alice.partitionedList('p'),
        () => alice.partitionedFind('p', { selector: {} }),
        () => alice.partitionedView('p', 'functions', 'v'),
        () => alice.partitionedSearch('p', 'functions', 's', { q: 'cat' }),
    ]) {
        const error = await refused(501, begin());
        assert.strictEqual(error.error, 'not_implemented');
    }
    for (const begin of [
        () => alice.viewWithListAsStream('functions', 'v', 'l'),
        () => alice.searchAsStream('functions', 's', { q: 'x' }),
        () => alice.partitionedListAsStream('p'),
        () => alice.partitionedFindAsStream('p', { selector: {} }),
        () => alice.partitionedViewAsStream('p', 'functions', 'v'),
        () => alice.partitionedSearchAsStream('p', 'functions', 's', { q: 'x' }),
    ])
        await refused(501, read(begin()));
}

(async () => {
    await part('databases', databases);
    await part('updates', updates);
    await part('documents', documents);
    await part('many documents', many);
    await part('changes', changes);
    await part('changesReader', changesReader);
    await part('multipart', multipart);
    await part('attachments', attachments);
    await part('views', views);
    await part('find', find);
    await part('cookies', cookies);
    await part('replication', replication);
    await part('uuids', uuids);
    await part('logging', logging);
    await part('absent', absent);
    if (failures.length > 0)
        console.log(`failed: ${failures.join(', ')}`);
    process.exit(failures.length > 0 ? 1 : 0);
})();
