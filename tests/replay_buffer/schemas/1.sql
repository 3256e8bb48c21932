PRAGMA application_id = 1145523249;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE embeddings (
            transition INTEGER NOT NULL REFERENCES transitions (id),
            encoder TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (transition, encoder)
        );
INSERT INTO "embeddings" VALUES(1,'hashed-ngrams-3-5-16-1.5',X'88EE81BE0000000088EE01BF88EE013E88EE013E88EE01BF88EE01BE88EE813E38D4383E4B70763D2F069A3E4B70F6BD38D4B8BE38D4383E000000004B70763D');
INSERT INTO "embeddings" VALUES(2,'hashed-ngrams-3-5-16-1.5',X'CCE5C2BE88EE01BF88EE81BE88EE013E88EE01BE88EE81BE88EE813E88EE813E84C2BDBED0CE173ED0CE97BDD0CE17BE38B6633E38B6633E00000000D0CE173E');
INSERT INTO "embeddings" VALUES(3,'hashed-ngrams-3-5-16-1.5',X'38B6E3BE38B6633E38B663BE38B6633E38B6633E38B6E3BE38B6633E38B663BEE075E1BEF4F4F5BDA2F8A33DA2F823BDA2F823BDF4F4753EA2F8A33DA2F8233E');
INSERT INTO "embeddings" VALUES(4,'hashed-ngrams-3-5-16-1.5',X'9F62A6BE9F6226BF00000000D4D85DBE00000000000000009F62A6BED4D8DDBD38D4383E4B70763D2F069A3E4B70F6BD38D4B8BE38D4383E000000004B70763D');
INSERT INTO "embeddings" VALUES(5,'hashed-ngrams-3-5-16-1.5',X'38B6E3BE38B6633E38B663BE38B6633E38B6633E38B6E3BE38B6633E38B663BE38D4383E4B70763D2F069A3E4B70F6BD38D4B8BE38D4383E000000004B70763D');
INSERT INTO "embeddings" VALUES(6,'hashed-ngrams-3-5-16-1.5',X'ABD248BEABD2C8BE009E96BEABD2483EABD2C83DABD248BE5607FB3E009E963E199FB3BECD7E6F3DCD7E6FBD0000000040AF953ECD7E6F3DCD7E6F3D40AF95BE');
CREATE TABLE tasks (
            task_id TEXT PRIMARY KEY,
            environment TEXT NOT NULL,
            text TEXT NOT NULL,
            split TEXT NOT NULL,
            task_type TEXT NOT NULL,
            room TEXT NOT NULL,
            source TEXT NOT NULL,
            payload TEXT NOT NULL,
            first_state TEXT NOT NULL
        );
INSERT INTO "tasks" VALUES('alfworld/test/1','alfworld','put a hot potato in shelf 1.','train','pick_heat','301','generated','{"scene": "FloorPlan1", "seed": 1}','You look around.
at: middle of the room');
INSERT INTO "tasks" VALUES('alfworld/test/2','alfworld','put a hot potato in shelf 2.','train','pick_heat','302','generated','{"scene": "FloorPlan2", "seed": 2}','You look around.
at: middle of the room');
INSERT INTO "tasks" VALUES('alfworld/test/3','alfworld','put a hot potato in shelf 3.','train','pick_heat','303','generated','{"scene": "FloorPlan3", "seed": 3}','You look around.
at: middle of the room');
CREATE TABLE trajectories (
            id INTEGER PRIMARY KEY,
            trajectory_id TEXT NOT NULL UNIQUE,
            task_id TEXT NOT NULL REFERENCES tasks (task_id),
            world TEXT NOT NULL CHECK (world IN ('real', 'dream')),
            outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failure', 'failed')),
            num_transitions INTEGER NOT NULL,
            policy TEXT NOT NULL,
            seed INTEGER NOT NULL,
            environment_version TEXT NOT NULL,
            model TEXT,
            run TEXT,
            stored_at TEXT NOT NULL
        );
INSERT INTO "trajectories" VALUES(1,'tr-20dda2be12fc','alfworld/test/1','real','success',3,'expert(noise=0.2)',1,'alfworld 0.4.2',NULL,NULL,'2026-11-23T09:20:47.789737+00:00');
INSERT INTO "trajectories" VALUES(2,'tr-7160e29df2f6','alfworld/test/2','dream','failure',1,'random',2,'alfworld 0.4.2','nano@01234567','run 7','2026-11-23T09:20:47.843912+00:00');
INSERT INTO "trajectories" VALUES(3,'tr-6788e6d3a2c8','alfworld/test/3','dream','failed',2,'expert(noise=0.2)',3,'alfworld 0.4.2',NULL,NULL,'2026-11-23T09:20:47.847606+00:00');
CREATE TABLE transitions (
            id INTEGER PRIMARY KEY,
            trajectory INTEGER NOT NULL REFERENCES trajectories (id),
            step INTEGER NOT NULL CHECK (step >= 1),
            action_type TEXT,
            reward REAL,
            terminated INTEGER NOT NULL,
            truncated INTEGER NOT NULL,
            success INTEGER NOT NULL,
            confidence REAL,
            seconds REAL,
            failure TEXT,
            action TEXT,
            state TEXT NOT NULL,
            next_state TEXT,
            reasoning TEXT,
            raw_reply TEXT,
            neighbours TEXT NOT NULL,
            UNIQUE (trajectory, step),
            CHECK ((failure IS NULL) = (next_state IS NOT NULL)),
            CHECK ((failure IS NULL) = (reward IS NOT NULL))
        );
INSERT INTO "transitions" VALUES(1,1,1,'go',0.0,0,0,0,NULL,0.25,NULL,'go to microwave 1','You look around.
at: middle of the room','You arrive at microwave 1.
at: microwave 1
here: potato 1, mug 0',NULL,NULL,'[]');
INSERT INTO "transitions" VALUES(2,1,2,'go',0.0,0,0,0,NULL,0.25,NULL,'go to shelf 2','You arrive at microwave 1.
at: microwave 1
here: potato 1, mug 0','You arrive at shelf 2.
at: shelf 2
here: potato 1, mug 1',NULL,NULL,'[]');
INSERT INTO "transitions" VALUES(3,1,3,'go',1.0,1,0,1,NULL,0.25,NULL,'go to desk 1','You arrive at shelf 2.
at: shelf 2
here: potato 1, mug 1','You arrive at desk 1.
at: desk 1
here: potato 1, mug 2',NULL,NULL,'[]');
INSERT INTO "transitions" VALUES(4,2,1,'take',0.1,0,1,0,0.75,0.5,NULL,'take mug 2 from shelf 2','You look around.
at: middle of the room','You pick up the mug 2.
holding: mug 2','The mug is here, so it can be taken: 100%_sure.','<think>…</think>','[["tr-0123456789ab.3", 0.30000000000000004], ["tr-ba9876543210.1", -0.5]]');
INSERT INTO "transitions" VALUES(5,3,1,'go',0.0,0,0,0,NULL,0.25,NULL,'go to desk 1','You look around.
at: middle of the room','You arrive at desk 1.
at: desk 1
here: potato 3, mug 0',NULL,NULL,'[]');
INSERT INTO "transitions" VALUES(6,3,2,'go',0.0,0,0,0,NULL,0.25,NULL,'go to fridge 1','You arrive at desk 1.
at: desk 1
here: potato 3, mug 0','You arrive at fridge 1.
at: fridge 1
here: potato 3, mug 1',NULL,NULL,'[]');
INSERT INTO "transitions" VALUES(7,3,3,'open',NULL,0,0,0,NULL,NULL,'the reply has no <state>','open fridge 1','You arrive at fridge 1.
at: fridge 1
here: potato 3, mug 1',NULL,NULL,'<think>zzz','[]');
CREATE INDEX trajectories_task ON trajectories (task_id);
CREATE INDEX transitions_action_type ON transitions (action_type, trajectory);
CREATE INDEX transitions_confidence ON transitions (confidence, trajectory);
COMMIT;
