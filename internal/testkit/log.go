package testkit

import (
	"strings"
	"sync"
)

// Log is a writer of text that the test reads meanwhile.
type Log struct {
	mutex sync.Mutex
	text  strings.Builder
}

// Write implements io.Writer.
func (l *Log) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.Write(text)
}

// String returns what was written.
func (l *Log) String() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.text.String()
}
