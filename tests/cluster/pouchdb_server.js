// express-pouchdb, as it comes from npm, behind TLS: another implementation of CouchDB's interface, with users
// and rights. Says its port; ends with its standard input.
'use strict';
const fs = require('node:fs');
const https = require('node:https');
const PouchDB = require('pouchdb');

const folder = process.env.QK_FOLDER;
const server = require('express-pouchdb')(PouchDB.defaults({ prefix: `${folder}/` }),
    { configPath: `${folder}/config.json`, logPath: `${folder}/log.txt` });
https.createServer({ key: fs.readFileSync(process.env.QK_KEY), cert: fs.readFileSync(process.env.QK_CERT) }, server)
    .listen(Number(process.env.QK_PORT || 0), '127.0.0.1', function () { console.log(`port ${this.address().port}`); });
process.stdin.on('end', () => process.exit(0)).resume();
