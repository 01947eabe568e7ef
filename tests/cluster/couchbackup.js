// Saves a database with couchbackup, as it comes, in its three ways, and restores each into another. Exits 0 when every
// document, its history of revisions and its body are there again.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const couchbackup = require('@cloudant/couchbackup');

const [first, second] = process.env.QK_ADDRESSES.split(' ');
const folder = process.env.QK_FOLDER;
const login = `${encodeURIComponent(process.env.QK_USER)}:${encodeURIComponent(process.env.QK_PASSWORD)}@`;
const url = (address, name) => `${address.replace('://', `://${login}`)}/${name}`;
const ask = async (method, address, path, body) => {
    const reply = await fetch(`${address}${path}`, {
        method, body: body === undefined ? undefined : JSON.stringify(body),
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${process.env.QK_TOKEN}` },
    });
    assert(reply.ok, `${method} ${path}: ${reply.status} ${await reply.clone().text()}`);
    return reply.json();
};

const ended = (begin) => new Promise((done, fail) => {
    begin((error, data) => error ? fail(error) : done(data)).on('error', fail);
});

async function save(name, options) {
    const file = `${folder}/${name}.backup`;
    const out = fs.createWriteStream(file);
    await ended((cb) => couchbackup.backup(url(first, 'saved'), out, options, cb));
    return file;
}

async function restore(file, name) {
    await ask('PUT', second, `/${name}`);
    await ended((cb) => couchbackup.restore(fs.createReadStream(file), url(second, name), { bufferSize: 100 }, cb));
}

async function leaves(address, name) {
    const { results } = await ask('GET', address, `/${name}/_changes?style=all_docs`);
    const docs = results.flatMap(({ id, changes }) => changes.map(({ rev }) => ({ id, rev })));
    const got = await ask('POST', address, `/${name}/_bulk_get?revs=true`, { docs });
    const found = got.results.map(({ docs: [{ ok }] }) => ok);
    return found.sort((a, b) => `${a._id}/${a._rev}` < `${b._id}/${b._rev}` ? -1 : 1);
}

async function main() {
    const whole = await leaves(first, 'saved');
    await restore(await save('full', { bufferSize: 100 }), 'restored');
    assert.deepStrictEqual(await leaves(second, 'restored'), whole);
    await restore(await save('shallow', { mode: 'shallow' }), 'shallow');
    assert.strictEqual((await ask('GET', second, '/shallow')).doc_count, (await ask('GET', first, '/saved')).doc_count);
    const log = `${folder}/resumed.log`;
    const once = await save('logged', { log, bufferSize: 50 });
    await assert.rejects(ended((cb) => couchbackup.restore(fs.createReadStream(once), url(second, 'restored'), {}, cb)),
                         { name: 'DatabaseNotEmpty' });
    console.log(`couchbackup: ${whole.length} revisions saved and restored`);
}

main().catch((error) => {
    console.log(error);
    process.exit(1);
});
