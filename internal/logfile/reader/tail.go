package reader

import (
	"io"
)

// tail puts the places of the files so that n entries are left, and closes those before.
func tail(files []*file, n int) ([]*file, error) {
	for i := len(files) - 1; i >= 0; i-- {
		f := files[i]
		got, err := f.seekBack(n)
		if err != nil {
			return files, err
		}
		n -= got
		if n == 0 {
			for _, f := range files[:i] {
				f.close()
			}
			return files[i:], nil
		}
	}
	return files, nil
}

// seekBack goes to the place from which n entries are left, or to the beginning, and returns how
// many there are.
func (f *file) seekBack(n int) (int, error) {
	if f.end != nil { // compressed
		return f.seekForward(n)
	}
	st, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	if f.n == 0 {
		return f.seekLines(st.Size(), n)
	}
	if got, ok := f.seekLocal(st.Size(), n); ok {
		return got, nil
	}
	return f.seekForward(n)
}

// seekLocal goes from record to record by the lengths at their ends. It fails when the end is no
// record's: a writer that is at work, or was cut off.
func (f *file) seekLocal(size int64, n int) (int, bool) {
	got := 0
	off := size
	for ; got < n && off > 0; got++ {
		begin := localBefore(f, off)
		if begin < 0 {
			return 0, false
		}
		off = begin
	}
	f.off, f.buf = off, nil
	return got, true
}

// seekForward finds the place by reading all entries.
func (f *file) seekForward(n int) (int, error) {
	places := make([]int64, 0, min(n, 4096))
	f.off, f.buf = 0, nil
	for count := 0; ; count++ {
		begin := f.off
		_, err := f.entry()
		if err == io.EOF {
			if n == 0 {
				return 0, nil
			}
			if count <= n {
				f.off, f.buf = 0, nil
				return count, nil
			}
			f.off, f.buf = places[count%n], nil
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if n > 0 {
			if len(places) < n {
				places = append(places, begin)
			} else {
				places[count%n] = begin
			}
		}
	}
}

// seekLines counts newlines from the end.
func (f *file) seekLines(size int64, n int) (int, error) {
	buf := make([]byte, 64<<10)
	got := 0
	end := size
	first := true
	for end > 0 {
		begin := max(0, end-int64(len(buf)))
		b := buf[:end-begin]
		if m, err := f.src.ReadAt(b, begin); err != nil && (err != io.EOF || m < len(b)) {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != '\n' {
				continue
			}
			if first { // the end of the last line
				first = false
				if n == 0 {
					f.off, f.buf = begin+int64(i)+1, nil
					return 0, nil
				}
				continue
			}
			if got++; got == n {
				f.off, f.buf = begin+int64(i)+1, nil
				return got, nil
			}
		}
		end = begin
	}
	f.off, f.buf = 0, nil
	if first { // no whole line
		return 0, nil
	}
	return got + 1, nil
}
