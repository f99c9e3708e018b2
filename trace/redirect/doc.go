// Package redirect captures an installation by a user who may not write where it
// installs to, in a place where nothing may be mounted: the command's system calls
// are stopped by ptrace(2) where they name a file, and led to a staging tree.
//
// What the command sees is the merged view. Its files are those of the staging tree
// and of the root below it, the lower one, by these rules:
//
//   - A directory in which something is to change is raised: the staging tree gets a
//     directory of the same path that holds all its names. A name that is as it was is
//     held by a stub, an empty file of the same type. So the kernel itself lists the
//     merged directory, and a name that is missing from it is gone.
//   - Any other directory is seen where it is, and so is what a stub stands for.
//   - A file is copied up, into the place of its stub, before its first change.
//   - Neither stubs nor raised directories are ever renamed (EXDEV, as between file
//     systems). So a path means the same in the view, in the staging tree and below.
//
// Calls that change names or attributes are carried out by us, in the staging tree;
// the kernel is given other calls with another path (open, execve, chdir), if the
// path is not the right one already. What /proc, /dev and /sys hold is let alone.
//
// The command is shown as root: its own ids are 0, and what it is told of a file is
// kept beside the file (a face) where the kernel would not take it.
//
// All this is done by one thread, the tracer, so that nothing here has a lock.
package redirect
