//go:build !linux

package hashdiff

import "os"

func namesOf(found []os.DirEntry) []name {
	names := make([]name, len(found))
	for i, d := range found {
		names[i] = name{d.Name(), kindFile}
		if d.IsDir() {
			names[i].kind = kindDir
		}
	}
	return names
}
