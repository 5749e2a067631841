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

// StringMember reads one member of an object that is a string; the other members may be anything.
// ok is false when the document is no object, or the member is not there.
func StringMember(doc, name string) (value string, ok bool) {
	r := &reader{src: doc}
	r.document(func() {
		if !r.object() {
			return
		}
		for {
			k, more := r.key()
			if !more {
				return
			}
			if k == name {
				r.string(&value)
				ok = true
			} else {
				r.skip(false)
			}
		}
	})
	return value, ok && r.err == nil
}
