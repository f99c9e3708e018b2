package unpack

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// quotedLines is the text form of what is no packing list: words in Go's quotes, of
// any bytes, some a line.
type quotedLines []byte

func (b *quotedLines) add(words ...string) {
	for i, word := range words {
		if i > 0 {
			*b = append(*b, ' ')
		}
		*b = strconv.AppendQuote(*b, word)
	}
	*b = append(*b, '\n')
}

// readQuoted calls do with the words of each line, of which there must be n.
func readQuoted(text []byte, n int, do func(words []string) error) error {
	for line := range strings.Lines(string(text)) {
		words, err := unquote(line)
		if err == nil && len(words) != n {
			err = fmt.Errorf("%d words, want %d", len(words), n)
		}
		if err == nil {
			err = do(words)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	}
	return nil
}

func unquote(line string) (words []string, err error) {
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimPrefix(rest, " ") {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return nil, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		words, rest = append(words, word), rest[len(quoted):]
	}
	return words, nil
}

// parseDigest is the inverse of Digest.String.
func parseDigest(s string) (d plist.Digest, err error) {
	if len(s) == 2*len(d) { // of more it would panic
		_, err = hex.Decode(d[:], []byte(s))
	}
	if err != nil || len(s) != 2*len(d) {
		return d, fmt.Errorf("digest %q: want %d hexadecimal digits", s, 2*len(d))
	}
	return d, nil
}
