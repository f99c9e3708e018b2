// Package tarball writes a packing list and the files it names as one tar
// archive, and reads that back. It knows nothing of disks but the files that a
// [plist.Tree] opens.
//
// An archive is a pax interchange format stream (pax(1)), compressed or not. Its
// first member is the native packing list; then come the entries of the list in
// its order, which GNU tar, bsdtar and others unpack:
//
//	what                     how it is written                     restored by
//	the list                 .sandbox-install.plist, mode 0644     all
//	name, symlink target     raw in the ustar header if it fits    all
//	  that does not fit      path, linkpath; GNU.sparse.name       all; busybox not the last
//	  ... and is not ASCII   hdrcharset=BINARY before it           as above; GNU tar warns
//	  like a:b or \a         ./ before it                          all
//	  over PATH_MAX          path                                  bsdtar
//	hard link                type 1, to the first name archived    all
//	device, fifo             types 3, 4, 6                         all
//	mode, owner              ustar header; uid, gid if too large   all
//	time                     ustar header; mtime with fractions    all; python3 to a microsecond,
//	                                                               busybox to a second
//	  fraction before 1970   mtime=-0.25                           GNU tar, python3
//	ACL                      SCHILY.acl.access, .default as text   GNU tar --acls, bsdtar
//	xattr, capability        SCHILY.xattr.NAME                     GNU tar --xattrs, bsdtar
//	  = or % in NAME         %3D, %25                              GNU tar
//	inode flags              SCHILY.fflags                         bsdtar
//	sparse file              GNU.sparse.* 1.0, map before data     GNU tar, bsdtar, python3
//	deletion, socket         in the list only                      -
//
// The table was found out with GNU tar 1.34, bsdtar 3.6.2, Python 3.11's tarfile
// and busybox 1.35, and is what TestTraps tests. To restore all that GNU tar can:
//
//	tar --acls --xattrs --xattrs-include='*' -p --numeric-owner -xf FILE
//
// The list and the files' bytes fix every byte of the archive before compression,
// on any machine; a version of the compressor fixes the rest. A [Reader] relies on
// that: it makes each header from the list and takes no other. So nothing can
// stand in an archive that its list does not tell.
package tarball
