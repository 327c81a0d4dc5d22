-- A people store of version 4, as the last copersona that knew only bundle ids wrote it.
BEGIN TRANSACTION;
CREATE TABLE "enrolments" (
   "bundle" TEXT,
   "person" TEXT,
   "peer" TEXT NOT NULL,
   PRIMARY KEY ("bundle", "person")
);
INSERT INTO "enrolments" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','ana','p-ana');
INSERT INTO "enrolments" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','ben','p-ben');
INSERT INTO "enrolments" VALUES('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','ana','p-other');
CREATE TABLE interactions (
            seq INTEGER PRIMARY KEY,
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            digest TEXT NOT NULL,
            output TEXT NOT NULL,
            input TEXT,
            time REAL,
            item TEXT,
            title TEXT,
            rating REAL,
            words TEXT NOT NULL
        );
INSERT INTO "interactions" VALUES(1,'ana','9c4c5634067ce5659aeeeaed304904ba54093c62f395e4a7983185cfca5331ea','I love these strings, number 0!',NULL,0.0,NULL,NULL,NULL,'[]');
INSERT INTO "interactions" VALUES(2,'ana','63bed390c7334272db7c7a1be3fc9da55e0a17ded9bb32ba0f93ff8ff540f7f0','I love these strings, number 1!',NULL,1.0,NULL,NULL,NULL,'[]');
INSERT INTO "interactions" VALUES(3,'ana','79b1b3624b94af456e973e7ee193c5dcb779267b90cacb577e5598edfafd83ed','I love these strings, number 2!',NULL,2.0,NULL,NULL,NULL,'[]');
INSERT INTO "interactions" VALUES(4,'ben','8d00b00c2a3bd4da092f3c1fc216b5e58c964e5b8d1900c520d6c2935a5e3d00','It hums. Returned.',NULL,NULL,NULL,NULL,NULL,'[]');
CREATE TABLE "people" (
   "name" TEXT PRIMARY KEY,
   "added" TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO "people" VALUES('ana','2026-11-28 07:09:09');
INSERT INTO "people" VALUES('ben','2026-11-28 07:09:09');
CREATE TABLE personas (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            bundle TEXT NOT NULL,
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            texts TEXT NOT NULL,
            arrays BLOB NOT NULL,
            PRIMARY KEY (person, bundle)
        );
INSERT INTO "personas" VALUES('ana','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','key','sha','{}',X'0102');
CREATE TABLE replies (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            key TEXT NOT NULL,
            reply TEXT NOT NULL,
            PRIMARY KEY (person, key)
        );
INSERT INTO "replies" VALUES('ana','k','["{\"note\": \"x\"}", 7, 3]');
CREATE TABLE vectors (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            encoder TEXT NOT NULL,
            text TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (person, encoder, text)
        );
INSERT INTO "vectors" VALUES('ana','encoder','text',X'00010203');
CREATE UNIQUE INDEX "idx_interactions_person_digest"
    ON "interactions" ("person", "digest");
CREATE INDEX "idx_enrolments_person"
    ON "enrolments" ("person");
COMMIT;
PRAGMA application_id=1131368560;
PRAGMA user_version=4;
