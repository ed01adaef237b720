package clients

// Of returns the text of a changed file.
func (c Change) Of(text string) (string, error) {
	changed, err := c.of([]byte(text))
	return string(changed), err
}

// Parse reads the text of a file.
func Parse(text string) (*File, error) {
	doc, err := parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return doc.file(), nil
}
