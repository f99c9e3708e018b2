package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// LookPath finds the program name as execvp(3) does, with env's PATH and not
// this process's.
func LookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if name == "" {
		return "", fs.ErrNotExist
	}
	found := error(fs.ErrNotExist)
	for _, dir := range filepath.SplitList(lookEnv(env, "PATH", "/usr/local/bin:/usr/bin:/bin")) {
		if dir == "" {
			dir = "." // POSIX: a zero-length prefix is the current directory
		}
		file := filepath.Join(dir, name)
		if dir == "." {
			file = "./" + name
		}
		info, err := os.Stat(file)
		switch {
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOTCONN): // of a union that can not look
			return "", err
		case err != nil || info.IsDir():
		case info.Mode()&0o111 == 0:
			found = fs.ErrPermission
		default:
			return file, nil
		}
	}
	return "", found
}

// lookEnv returns the value of the last key in env, which is the one that counts
// in os/exec, or otherwise.
func lookEnv(env []string, key, otherwise string) string {
	value := otherwise
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			value = v
		}
	}
	return value
}
