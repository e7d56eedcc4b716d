-- users and roles of flasky, as its migrations make them on SQLite. The passwords are "cat".
CREATE TABLE roles (
	id INTEGER NOT NULL,
	name VARCHAR(64),
	"default" BOOLEAN,
	permissions INTEGER,
	PRIMARY KEY (id),
	UNIQUE (name)
);
INSERT INTO roles VALUES(1,'User',1,7);
INSERT INTO roles VALUES(2,'Moderator',0,15);
INSERT INTO roles VALUES(3,'Administrator',0,31);
CREATE TABLE users (
	id INTEGER NOT NULL,
	email VARCHAR(64),
	username VARCHAR(64),
	role_id INTEGER,
	password_hash VARCHAR(128),
	confirmed BOOLEAN,
	name VARCHAR(64),
	location VARCHAR(64),
	about_me TEXT,
	member_since DATETIME,
	last_seen DATETIME,
	avatar_hash VARCHAR(32),
	PRIMARY KEY (id),
	FOREIGN KEY(role_id) REFERENCES roles (id)
);
INSERT INTO users VALUES(3,'ada@example.com','ada',3,'scrypt:1024:8:1$RuNSByEsAxIBJtcD$b4f24b88f6a22185641135b65b6c977add5a83618fbc00bf2328a691f404d7971ded97a24fa47276c1582306ea222976addbce6742ba4ba995e2f6ad224c5853',1,NULL,'London',NULL,'2014-05-06 07:08:09.101112','2024-01-01 00:00:00.000000',NULL);
INSERT INTO users VALUES(5,'bob@example.com','bob',1,'pbkdf2:sha256:1000$G07ucYfZGZKSmyex$f3d68729e770f991301d95d49542fe77a5a3c9d58a8f045effad41bf04ea83f7',1,NULL,'London',NULL,'2014-05-06 07:08:09.101112','2024-01-01 00:00:00.000000',NULL);
INSERT INTO users VALUES(8,'Cyd@Example.com','Cy_d',2,'pbkdf2:sha1:1000$Xvaqzam7rl01zNNA$3e6b031083fc0beedde199823e6b06102b8c7d59',0,NULL,'London',NULL,'2014-05-06 07:08:09.101112','2024-01-01 00:00:00.000000',NULL);
