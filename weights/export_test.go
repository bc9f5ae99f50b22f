package weights

// FileShape is fileShape, for the test of all full-size shapes.
var FileShape = fileShape
