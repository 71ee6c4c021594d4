"""The C that every model shares: products and one step of each cell, in the letters of docs/lstm.md."""

COMMON = """\
#ifdef SCALED
#define MATRIX(name) name, name##_scale
#else
#define MATRIX(name) name, 0
#endif

/* y = W x + b, b may be null */
static void linear(const weight *W, const float *scale, const float *b, const float *x, int rows, int columns,
                   float *y)
{
    int row, column;
    (void)scale;
    for (row = 0; row < rows; row++) {
        float sum = 0.0f;
        for (column = 0; column < columns; column++) sum += (float)W[row * columns + column] * x[column];
        y[row] = sum@SCALED + (b ? b[row] : 0.0f);
    }
}
"""

ROW_OF = """\
static void row_of(const weight *W, const float *scale, int row, int columns, float *y)
{
    int column;
    (void)scale;
    for (column = 0; column < columns; column++) y[column] = (float)W[row * columns + column]@SCALED;
}
"""

COLUMN_OF = """\
static void column_of(const weight *W, const float *scale, int column, int columns, float *y)
{
    int row;
    (void)scale;
    for (row = 0; row < ROWS; row++) y[row] = (float)W[row * columns + column]@SCALED;
}
"""

SIGMOID = "static float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }\n"

_HEAD = """\
static void cell(const float *zx, const weight *Wh, const float *scale, const float *bx, const float *bh,
                 float *h{more})
{{
    float zh[ROWS];
    int n;
    linear(Wh, scale, bh, h, {rows}, HIDDEN, zh);
"""

_LSTM = (
    SIGMOID
    + _HEAD.format(more=", float *c", rows="ROWS")
    + """\
    for (n = 0; n < ROWS; n++) zh[n] += zx[n] + bx[n];
    for (n = 0; n < HIDDEN; n++) {
        float i = sigmoid(zh[n]), f = sigmoid(zh[HIDDEN + n]);
        float g = tanhf(zh[2 * HIDDEN + n]), o = sigmoid(zh[3 * HIDDEN + n]);
        c[n] = f * c[n] + i * g;
        h[n] = o * tanhf(c[n]);
    }
}
"""
)

_GRU = (
    SIGMOID
    + _HEAD.format(more="", rows="ROWS")
    + """\
    for (n = 0; n < HIDDEN; n++) {
        float r = sigmoid(zx[n] + bx[n] + zh[n]);
        float z = sigmoid(zx[HIDDEN + n] + bx[HIDDEN + n] + zh[HIDDEN + n]);
        float m = tanhf(zx[2 * HIDDEN + n] + bx[2 * HIDDEN + n] + r * zh[2 * HIDDEN + n]);
        h[n] = (1.0f - z) * m + z * h[n];
    }
}
"""
)

_GRU_BEFORE = (
    SIGMOID
    + _HEAD.format(more="", rows="2 * HIDDEN")
    + """\
    {
        float rh[HIDDEN], z[HIDDEN], m[HIDDEN];
        for (n = 0; n < HIDDEN; n++) {
            rh[n] = sigmoid(zx[n] + bx[n] + zh[n]) * h[n];
            z[n] = sigmoid(zx[HIDDEN + n] + bx[HIDDEN + n] + zh[HIDDEN + n]);
        }
        linear(Wh + 2 * HIDDEN * HIDDEN, scale ? scale + 2 * HIDDEN : 0, bh + 2 * HIDDEN, rh, HIDDEN, HIDDEN,
               m);
        for (n = 0; n < HIDDEN; n++)
            h[n] = (1.0f - z[n]) * tanhf(zx[2 * HIDDEN + n] + bx[2 * HIDDEN + n] + m[n]) + z[n] * h[n];
    }
}
"""
)

_RNN = (
    _HEAD.format(more="", rows="ROWS")
    + """\
    for (n = 0; n < HIDDEN; n++) {{
        float z = zx[n] + bx[n] + zh[n];
        h[n] = {activation};
    }}
}}
"""
)


def _rnn(activation: str) -> str:
    return _RNN.replace("{{", "{").replace("}}", "}").replace("{activation}", activation)


CELLS = {
    "lstm": _LSTM,
    "gru": _GRU,
    "gru before": _GRU_BEFORE,
    "rnn tanh": _rnn("tanhf(z)"),
    "rnn relu": _rnn("z > 0.0f ? z : 0.0f"),
    "rnn sigmoid": _rnn("1.0f / (1.0f + expf(-z))"),
    "rnn identity": _rnn("z"),
}
