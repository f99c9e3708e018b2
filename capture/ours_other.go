//go:build !unix

package capture

import "io/fs"

// isOurs believes that where temporary files are nobody else may write.
func isOurs(fs.FileInfo) bool { return true }
