"""All SQL.  Each move is one guarded statement, or one short transaction, that tells whether it won."""
