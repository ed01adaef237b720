// Command probe restricts itself to read its first argument and to write to its second
// one. Then it opens the others, in several threads, and prints what fails.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"ssmonitor/internal/landlock"
)

func main() {
	// A thread that exists before.
	locked, opens, done := make(chan struct{}), make(chan string), make(chan error)
	go func() {
		runtime.LockOSThread()
		close(locked)
		for path := range opens {
			done <- open(path)
		}
	}()
	<-locked
	err := landlock.Restrict(map[string]landlock.Access{
		os.Args[1]: landlock.Read, os.Args[2]: landlock.Write, "/does/not/exist": landlock.Read,
	})
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("unsupported")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range os.Args[3:] {
		opens <- path
		fmt.Printf("%s: %v, %v\n", filepath.Base(path), open(path), <-done)
	}
	written := filepath.Join(os.Args[2], "written")
	fmt.Println(os.WriteFile(written, nil, 0o600), os.Rename(written, written+".2"), os.Remove(written+".2"))
	fmt.Println(os.WriteFile(filepath.Join(os.Args[1], "written"), nil, 0o600) != nil)
	_, err = os.Stat(os.Args[3])
	fmt.Println(err)
}

func open(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	return file.Close()
}
