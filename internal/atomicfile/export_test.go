package atomicfile

import (
	"io/fs"
	"os"
)

// WriteNamed is Write on a file system without unnamed files.
func WriteNamed(path string, content []byte, mode fs.FileMode) error {
	return writeNamed(path, content, mode, (*os.File).Sync)
}

// WriteVolatile replaces a volatile file.
func WriteVolatile(path string, content []byte, _ fs.FileMode) error {
	return (&Volatile{Path: path}).Replace(content)
}
