// Package failure marks errors for the end of the program, which prints them and chooses
// the exit status.
package failure

// WrongError is a mistake in what the user has set or given: nothing was changed, and
// another attempt would fail alike. Inspect it with errors.As.
type WrongError struct{ error }

// Unwrap returns what is wrong.
func (e *WrongError) Unwrap() error { return e.error }

// Wrong marks an error, unless it is nil, as a mistake of the user's.
func Wrong(err error) error {
	if err == nil {
		return nil
	}
	return &WrongError{err}
}

// RemediedError is an error for a missing right that says itself what to do.
type RemediedError struct{ error }

// Unwrap returns what failed.
func (e *RemediedError) Unwrap() error { return e.error }

// Remedied marks an error, unless it is nil, that says itself what to do.
func Remedied(err error) error {
	if err == nil {
		return nil
	}
	return &RemediedError{err}
}
