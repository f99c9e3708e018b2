//go:build linux && !(cgo && (amd64 || arm64))

package trace

import "errors"

// filters says that there are none.
func filters() ([][]byte, error) { return nil, errNoFilters }

func watchFilter(bool) ([]byte, []int, error) { return nil, nil, errNoFilters }

var errNoFilters = errors.New("this program was built without libseccomp (CGO_ENABLED=0), or for a processor whose calls it has no table of")
