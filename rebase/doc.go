// Package rebase gives PE images (DLLs) addresses of their own, so that no two
// of them ask for the same place, and keeps the record of it.
//
// The phases: files are surveyed (only headers and relocation tables are read),
// a [Plan] places them against what the databases say is taken, and [Plan.Apply]
// carries it out. Nothing but Apply, [Undo] and [Database.Save] writes.
// [MoveCaptured] does the same for the files of a packing list that are on no
// disk yet.
//
// To add a machine: a constant in header.go, its width in check, its ranges in
// [Target.Place]. To add a rule by which an image is left alone: a [Rule], its
// test in fixed, readFixups or checkAddresses, and a case in TestFixed.
//
// What it promises:
//
//   - An image that is not wholly understood is left alone, with the reason.
//   - A moved image differs from the original in its base, its checksum and in
//     the values its relocation table names, each by exactly the shift. That is
//     verified on the bytes read back from the new file, before it gets its name.
//   - Files and databases are replaced, never written in place: whoever has the
//     old file open keeps it, and a crash leaves the old or the new one.
//   - The database is written before the first file gets its new name. It holds
//     what undo needs, so a crash in between can be finished or taken back.
//   - The result depends on the set of files and on the databases, not on the
//     order of arguments or on how many workers there are.
//
// What it does not see: an image elsewhere that was bound to one that moves, as
// before Windows 8. Since the time stamp is kept, a loader of that time trusts the
// old addresses.
//
// Lock order: the database's lock is taken before anything is read that a plan
// depends on, and held until the plan is carried out. There is only one: the
// databases of other layers are read, never written, and not locked.
//
// The format is that of Microsoft's "PE Format" document; what the loader does
// with it beyond that was observed with Wine 8.
package rebase
