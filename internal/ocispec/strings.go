package ocispec

// DecodeStrings reads a document that is an array of strings, as the record of standard descriptors beside the images of
// a checkpoint. An error is an *[Error].
func DecodeStrings(b []byte) ([]string, error) {
	r := &reader{src: string(b)}
	var list []string
	stringArray(r, &list)
	r.end()
	p, err := result(r, &list)
	if err != nil {
		return nil, err
	}
	return *p, nil
}
