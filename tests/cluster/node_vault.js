// Does with node-vault, as it comes, all that secrets can do. Two addresses: what is written by one
// node is read by another. Exits 0, or with what differed.
'use strict';
const assert = require('node:assert');

const [writer, reader] = process.env.QK_ADDRESSES.split(' ');
const credentials = { username: process.env.QK_USER, password: process.env.QK_PASSWORD };
const canary = process.env.QK_CANARY;

const connect = (endpoint, token) => require('node-vault')({ apiVersion: 'v1', endpoint, token });

async function refused(status, promise) {
    let error;
    try {
        await promise;
    } catch (e) {
        error = e;
    }
    assert(error && error.response, `no refusal with ${status}: ${error}`);
    assert.strictEqual(error.response.statusCode, status, JSON.stringify(error.response.body));
    return error;
}

async function login() {
    const stranger = connect(writer);
    await refused(403, stranger.read('secret/data/app'));
    const wrong = await refused(400, stranger.userpassLogin({ ...credentials, password: 'wrong' }));
    assert(wrong.response.body.errors.length > 0);
    const vault = connect(writer);
    const { auth } = await vault.userpassLogin(credentials);
    assert.match(auth.client_token, /^qkt1/);
    assert.strictEqual(vault.token, auth.client_token); // node-vault took it
    const self = await vault.tokenLookupSelf();
    assert.strictEqual(self.data.meta.username, credentials.username);
    assert(!JSON.stringify(self).includes('argon2'));
    return vault;
}

async function preflight(vault) {
    const mount = await vault.read('sys/internal/ui/mounts/secret/app');
    assert.strictEqual(mount.data.options.version, '2');
    assert.strictEqual(mount.data.path, 'secret/');
    assert.strictEqual((await vault.mounts()).data['secret/'].type, 'kv');
    assert.strictEqual((await vault.health()).sealed, false);
    assert.strictEqual((await vault.status()).sealed, false);
}

async function values(vault, other) {
    const first = await vault.write('secret/data/app/db', { data: { user: 'ada', password: canary } });
    assert.strictEqual(first.data.version, 1);
    const read = await other.read('secret/data/app/db');
    assert.deepStrictEqual(read.data.data, { user: 'ada', password: canary });
    assert.strictEqual(read.data.metadata.version, 1);
    assert(!Number.isNaN(Date.parse(read.data.metadata.created_time)));
    const mismatch = await refused(400, vault.write('secret/data/app/db', { options: { cas: 0 }, data: { a: 1 } }));
    assert.match(mismatch.message, /check-and-set parameter did not match/);
    const second = await vault.write('secret/data/app/db', { options: { cas: 1 }, data: { user: 'bob', n: { x: 1 } } });
    assert.strictEqual(second.data.version, 2);
    assert.strictEqual((await other.read('secret/data/app/db?version=1')).data.data.user, 'ada');
    const third = await vault.update('secret/data/app/db', { data: { user: null, n: { y: 2 } } });
    assert.strictEqual(third.data.version, 3);
    assert.deepStrictEqual((await other.read('secret/data/app/db')).data.data, { n: { x: 1, y: 2 } });
    assert.deepStrictEqual((await other.read('secret/subkeys/app/db')).data.subkeys, { n: { x: null, y: null } });
    assert.deepStrictEqual((await refused(404, other.read('secret/data/none'))).response.body, { errors: [] });
}

async function versions(vault, other) {
    assert.strictEqual(await vault.delete('secret/data/app/db'), '');
    const gone = await refused(404, other.read('secret/data/app/db'));
    assert.strictEqual(gone.response.body.data.data, null);
    assert.strictEqual(gone.response.body.data.metadata.version, 3);
    assert.notStrictEqual(gone.response.body.data.metadata.deletion_time, '');
    await vault.write('secret/undelete/app/db', { versions: [3] });
    assert.strictEqual((await other.read('secret/data/app/db')).data.metadata.deletion_time, '');
    await vault.write('secret/delete/app/db', { versions: [1, 2] });
    await refused(404, other.read('secret/data/app/db?version=2'));
    await vault.write('secret/destroy/app/db', { versions: [1] });
    const destroyed = await refused(404, other.read('secret/data/app/db?version=1'));
    assert.strictEqual(destroyed.response.body.data.metadata.destroyed, true);
    await vault.write('secret/undelete/app/db', { versions: [1, 2] });
    await refused(404, other.read('secret/data/app/db?version=1'));
    assert.strictEqual((await other.read('secret/data/app/db?version=2')).data.data.user, 'bob');
}

async function metadata(vault, other) {
    await vault.write('secret/metadata/app/db', {
        max_versions: 3, delete_version_after: '3h25m19s', custom_metadata: { owner: 'jdoe', tier: 'gold' },
    });
    await vault.update('secret/metadata/app/db', { custom_metadata: { tier: null, team: 'x' } });
    const { data } = await other.read('secret/metadata/app/db');
    assert.deepStrictEqual(data.custom_metadata, { owner: 'jdoe', team: 'x' });
    assert.strictEqual(data.delete_version_after, '3h25m19s');
    assert.strictEqual(data.current_version, 3);
    assert.strictEqual(data.versions['1'].destroyed, true);
    const made = await vault.write('secret/data/app/db', { data: { v: 4 } });
    assert.notStrictEqual(made.data.deletion_time, '');
    assert.deepStrictEqual(Object.keys((await other.read('secret/metadata/app/db')).data.versions), ['2', '3', '4']);
    await vault.write('secret/metadata/app/short', { delete_version_after: '2s' });
    await vault.write('secret/data/app/short', { data: { a: 1 } });
    await vault.write('secret/config', { max_versions: 5, cas_required: false });
    assert.strictEqual((await other.read('secret/config')).data.max_versions, 5);
}

async function lists(vault, other) {
    await vault.write('secret/data/app', { data: {} });
    await vault.write('secret/data/app/deep/er/x', { data: {} });
    assert.deepStrictEqual((await other.list('secret/metadata')).data.keys, ['app', 'app/']);
    assert.deepStrictEqual((await other.list('secret/metadata/app/')).data.keys, ['db', 'deep/', 'short']);
    other.noCustomHTTPVerbs = true;
    assert.deepStrictEqual((await other.list('secret/metadata/app')).data.keys, ['db', 'deep/', 'short']);
    other.noCustomHTTPVerbs = false;
    await vault.delete('secret/metadata/app/deep/er/x');
    assert.deepStrictEqual((await other.list('secret/metadata/app')).data.keys, ['db', 'short']);
    await refused(404, other.list('secret/metadata/app/deep'));
}

async function expiry(other) {
    for (let i = 0; i < 100; i++) {
        const status = await other.read('secret/data/app/short').then(() => 200, (e) => e.response.statusCode);
        if (status === 404)
            return;
        await new Promise((done) => setTimeout(done, 100));
    }
    assert.fail('a version did not delete itself');
}

async function main() {
    const vault = await login();
    const other = connect(reader, vault.token);
    await preflight(vault);
    await values(vault, other);
    await versions(vault, other);
    await metadata(vault, other);
    await lists(vault, other);
    await expiry(other);
    for (const path of ['app', 'app/db', 'app/short'])
        await vault.delete(`secret/metadata/${path}`);
    await refused(404, other.list('secret/metadata'));
    await vault.write('secret/config', { max_versions: 0 });
    await vault.tokenRevokeSelf();
    await refused(403, other.read('secret/data/app/db'));
    console.log('node-vault: all as expected');
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
