"""What each version of the schema added; see `schema`.

A migration that was ever released is never edited: a change is a new one at the end.
"""

# Long texts stand last in `transitions`, so that a filter on a short column never walks through overflow pages.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
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
        )
        """,
        """
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
        )
        """,
        "CREATE INDEX trajectories_task ON trajectories (task_id)",
        """
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
        )
        """,
        "CREATE INDEX transitions_action_type ON transitions (action_type, trajectory)",
        "CREATE INDEX transitions_confidence ON transitions (confidence, trajectory)",
        """
        CREATE TABLE embeddings (
            transition INTEGER NOT NULL REFERENCES transitions (id),
            encoder TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (transition, encoder)
        )
        """,
    ),
    # Which trigrams occur in a step, in any of its texts. Without their places the index is a twentieth of a database;
    # `queries` looks for all trigrams of a text here, and then for the text itself in the rows that are left.
    (
        """
        CREATE VIRTUAL TABLE transitions_text USING fts5 (
            action, state, next_state, reasoning, failure,
            content = 'transitions', content_rowid = 'id', tokenize = 'trigram', detail = none, columnsize = 0
        )
        """,
        """
        CREATE TRIGGER transitions_text_insert AFTER INSERT ON transitions BEGIN
            INSERT INTO transitions_text (rowid, action, state, next_state, reasoning, failure)
            VALUES (new.id, new.action, new.state, new.next_state, new.reasoning, new.failure);
        END
        """,
        "INSERT INTO transitions_text (transitions_text) VALUES ('rebuild')",
    ),
    ("ALTER TABLE transitions ADD COLUMN contradiction TEXT",),
    # What a training run records beside its trajectories, see `runs/store.py`. In other databases these stay empty.
    (
        """
        CREATE TABLE iterations (
            iteration INTEGER PRIMARY KEY,
            ended_at TEXT NOT NULL,
            metrics TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE rollouts (
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            purpose TEXT NOT NULL,
            slot INTEGER NOT NULL,
            trajectory INTEGER NOT NULL REFERENCES trajectories (id),
            advantage REAL,
            PRIMARY KEY (iteration, purpose, slot)
        )
        """,
        "CREATE INDEX rollouts_trajectory ON rollouts (trajectory)",
        """
        CREATE TABLE exploits (
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            dream INTEGER NOT NULL REFERENCES trajectories (id),
            replay INTEGER NOT NULL REFERENCES trajectories (id),
            kind TEXT NOT NULL,
            step INTEGER NOT NULL,
            PRIMARY KEY (iteration, dream)
        )
        """,
        """
        CREATE TABLE alarms (
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            checkpoint TEXT,
            PRIMARY KEY (iteration, kind)
        )
        """,
        """
        CREATE TRIGGER transitions_text_delete AFTER DELETE ON transitions BEGIN
            INSERT INTO transitions_text (transitions_text, rowid, action, state, next_state, reasoning, failure)
            VALUES ('delete', old.id, old.action, old.state, old.next_state, old.reasoning, old.failure);
        END
        """,
    ),
    ("ALTER TABLE transitions ADD COLUMN policy_reply TEXT",),
    # The curriculum of a training run, see `curriculum/sampler.py`; in other databases these stay empty.
    (
        """
        CREATE TABLE practised (
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            task_id TEXT NOT NULL,
            cluster INTEGER NOT NULL,
            estimate REAL NOT NULL,
            probability REAL NOT NULL,
            is_drawn INTEGER NOT NULL,
            value REAL,
            num_known INTEGER NOT NULL,
            num_won INTEGER NOT NULL,
            PRIMARY KEY (iteration, task_id)
        )
        """,
        """
        CREATE TABLE variations (
            id INTEGER PRIMARY KEY,
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            seed_id TEXT NOT NULL,
            text TEXT NOT NULL,
            log_likelihood REAL NOT NULL,
            task_id TEXT REFERENCES tasks (task_id),
            score REAL,
            difference REAL,
            dropped TEXT,
            reason TEXT NOT NULL
        )
        """,
        "CREATE INDEX variations_iteration ON variations (iteration)",
        """
        CREATE TABLE edits (
            number INTEGER PRIMARY KEY,
            iteration INTEGER NOT NULL REFERENCES iterations (iteration) ON DELETE CASCADE,
            edit TEXT NOT NULL
        )
        """,
    ),
    # Addresses of the lab with a name, see `lab/views.py`; only lab.sqlite has some.
    (
        """
        CREATE TABLE views (
            name TEXT PRIMARY KEY,
            query TEXT NOT NULL,
            saved_by TEXT NOT NULL,
            saved_at TEXT NOT NULL
        )
        """,
    ),
    # What people say of transitions, see `annotation/store.py`; only lab.sqlite has some. It grows, and never changes.
    (
        """
        CREATE TABLE annotated_items (
            transition_id TEXT PRIMARY KEY,
            source TEXT NOT NULL,
            environment TEXT NOT NULL,
            task_id TEXT NOT NULL,
            task_type TEXT NOT NULL,
            model TEXT,
            run TEXT,
            content TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE annotations (
            id INTEGER PRIMARY KEY,
            transition_id TEXT NOT NULL REFERENCES annotated_items (transition_id),
            annotator TEXT NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('annotator', 'adjudicator')),
            version INTEGER NOT NULL CHECK (version >= 1),
            labels TEXT,
            seconds REAL NOT NULL,
            stored_at TEXT NOT NULL,
            UNIQUE (annotator, role, transition_id, version)
        )
        """,
        "CREATE INDEX annotations_item ON annotations (transition_id)",
        *(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} BEGIN"
            f" SELECT RAISE (ABORT, 'annotations are only added'); END"
            for table in ("annotated_items", "annotations")
            for event in ("UPDATE", "DELETE")
        ),
    ),
    ("ALTER TABLE transitions ADD COLUMN token_probabilities BLOB",),
    # Experience models of a workspace, and which of them it uses, see `experience_model/versions.py`; only lab.sqlite
    # has some. Both tables grow, and never change.
    (
        """
        CREATE TABLE model_versions (
            version_id TEXT PRIMARY KEY,
            environment TEXT NOT NULL,
            folder TEXT NOT NULL,
            parent TEXT,
            made TEXT NOT NULL,
            scores TEXT NOT NULL,
            registered_at TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE model_choices (
            id INTEGER PRIMARY KEY,
            environment TEXT NOT NULL,
            choice TEXT NOT NULL CHECK (choice IN ('promote', 'rollback')),
            version_id TEXT REFERENCES model_versions (version_id),
            chosen_at TEXT NOT NULL
        )
        """,
        *(
            f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table} BEGIN"
            f" SELECT RAISE (ABORT, 'versions are only added'); END"
            for table in ("model_versions", "model_choices")
            for event in ("UPDATE", "DELETE")
        ),
    ),
    # Versions that nobody wants to see any more; one that is registered again leaves this table.
    (
        """
        CREATE TABLE model_discards (
            version_id TEXT PRIMARY KEY REFERENCES model_versions (version_id),
            discarded_at TEXT NOT NULL
        )
        """,
    ),
    # Confidence is of the next state's tokens, no longer of the whole reply's.
    (
        "UPDATE transitions SET confidence = stored_confidence(token_probabilities, raw_reply, confidence)"
        " WHERE token_probabilities IS NOT NULL",
    ),
)
