package atomicfile

import (
	"errors"
	"io/fs"
	"os"
)

// WriteNamed is Write on a file system without unnamed files.
func WriteNamed(path string, content []byte, mode fs.FileMode) error {
	return write(path, content, mode, func(string) (*os.File, error) { return nil, errors.ErrUnsupported })
}
