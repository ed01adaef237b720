package accounting

import "fmt"

// InvalidError describes the value of a setting that is not valid. Inspect it with
// errors.As: who has the value from a file that may hold a password shows only what
// is wanted.
type InvalidError struct {
	Name string // of the setting
	Text string // the value
	Want string // what it should be; nothing of the value is in it
}

// Error names the setting, the value and what it should be.
func (e *InvalidError) Error() string { return fmt.Sprintf("%s %q: want %s", e.Name, e.Text, e.Want) }
