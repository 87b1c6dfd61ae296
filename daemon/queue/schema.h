// The tables of the store and the way from one version to the next. Forward only: each migration
// runs in one transaction that also raises `user_version`.
#pragma once

#include "absl/status/status.h"
#include "daemon/queue/sqlite.h"

namespace quantized {

// "QNTZ": marks the file as a store of ours (SQLite's application_id).
inline constexpr int kStoreApplicationId = 0x514E545A;

// The version this program writes: that of the last migration.
int NewestSchemaVersion();

// Brings an empty or older store to the newest version. Errors: kVersionSkew when the store is
// newer than this program; kIo when the file is another program's database, or damaged.
absl::Status MigrateSchema(Database& db);

}  // namespace quantized
