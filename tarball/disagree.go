package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"maps"
)

// disagreement says in words what is wrong with the header that was read where
// want was expected.
func disagreement(raw, want []byte) error {
	if isZero(raw) {
		return errors.New("is in the list, but the archive ends before it")
	}
	got, want2 := parseHeader(raw), parseHeader(want)
	if got == nil || want2 == nil {
		return errors.New("its header is damaged")
	}
	if got.Name != want2.Name {
		return fmt.Errorf("in its place the archive has %q", got.Name)
	}
	for _, c := range []struct {
		what string
		same bool
	}{
		{"type", got.Typeflag == want2.Typeflag},
		{"size", got.Size == want2.Size},
		{"link", got.Linkname == want2.Linkname},
		{"mode", got.Mode == want2.Mode},
		{"owner", got.Uid == want2.Uid && got.Gid == want2.Gid},
		{"time", got.ModTime.Equal(want2.ModTime)},
		{"device", got.Devmajor == want2.Devmajor && got.Devminor == want2.Devminor},
		{"attributes", maps.Equal(got.PAXRecords, want2.PAXRecords)},
	} {
		if !c.same {
			return fmt.Errorf("its header and the list do not agree in %s", c.what)
		}
	}
	return errors.New("its header is not as it is written here")
}

// headerName returns the name in a header, as well as it can be read.
func headerName(raw []byte) string {
	if h := parseHeader(raw); h != nil {
		return h.Name
	}
	return "?"
}

// parseHeader reads a header that is not one of ours as any tar's. It returns nil
// if it is damaged.
func parseHeader(raw []byte) *tar.Header {
	h, _ := tar.NewReader(bytes.NewReader(raw)).Next() // a name that is not local has an error besides
	return h
}
