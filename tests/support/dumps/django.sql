-- auth_user of Django 5.2. The passwords are "cat".
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "password" varchar(128) NOT NULL, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "last_name" varchar(150) NOT NULL, "email" varchar(254) NOT NULL, "is_staff" bool NOT NULL, "is_active" bool NOT NULL, "date_joined" datetime NOT NULL, "first_name" varchar(150) NOT NULL);
INSERT INTO "auth_user" VALUES(1,'pbkdf2_sha256$1000$jXEqw7wSRMpE70JuwLxozc$/W9XRyrbbcg6oZ7yWZaH5hw5K6J/w46b3NwJfJfea+k=',NULL,1,'pbkdf2','','pbkdf2@example.com',1,1,'2019-11-29 18:11:50.190804','');
INSERT INTO "auth_user" VALUES(2,'pbkdf2_sha1$1000$plqNIRIhsFfKxNxbqm7ds6$TwTSn5biZTdg5z3y/0TXZl25lD8=',NULL,0,'sha1','','sha1@example.com',0,1,'2019-11-29 18:11:50.212050','');
INSERT INTO "auth_user" VALUES(3,'argon2$argon2id$v=19$m=64,t=1,p=1$TGtHVUlESUt4V2R1RFg1d0hZTzJteQ$Nx5WsRoQ5MXIu+MUvKzdvNgMDyTZHDWTWldACRxllAI',NULL,0,'argon','','argon@example.com',0,1,'2019-11-29 18:11:50.241739','');
INSERT INTO "auth_user" VALUES(4,'bcrypt_sha256$$2b$04$NLTYft7zkigsn9eTEwSnFumUBAb.ZvnJVHH.PTQ8A00wr4iWJ9WTO',NULL,0,'bsha','','bsha@example.com',0,1,'2019-11-29 18:11:50.261422','');
INSERT INTO "auth_user" VALUES(5,'bcrypt$$2b$04$/QNyXQzqjRD7yMsn6TrRRuvOfXW2R1kQ.rbKglwEwOL6kAff494Uu',NULL,0,'bcrypt','','bcrypt@example.com',0,1,'2019-11-29 18:11:50.284701','');
INSERT INTO "auth_user" VALUES(6,'scrypt$1024$ax9jYJl39IAyt4iXBH8j52$8$1$nKYdQHkKGbwvcq5X6CaKvdAJXMEsINOKeDhGrTo8DRvOjZN2tYnw6TUNVPu0M46bHj4X37NmfpDtg33sVMcDlA==',NULL,0,'scrypt','','scrypt@example.com',0,1,'2019-11-29 18:11:50.309016','');
INSERT INTO "auth_user" VALUES(7,'!3JRY5jemTxSQDF31rnvdhSiFC5AnRwE3DtGYpE19',NULL,0,'unusable','','unusable@example.com',0,1,'2020-11-29 18:11:50.339892','');
INSERT INTO "auth_user" VALUES(8,'',NULL,0,'gone','','gone@example.com',0,0,'2026-11-29 18:11:50.360739','');
