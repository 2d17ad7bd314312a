/* How a photograph must be turned to stand upright: the Exif orientation in a JPEG's APP1 segment or a PNG's eXIf
 * chunk. Nothing else of Exif is read, and nothing there is believed before it is checked: any bytes give 1 to 8.
 *
 *     int orientation = exif_orientation(data, size);
 *     TRY(picture_turn(&p, orientation, err)); */
#ifndef MEDIA_EXIF_H
#define MEDIA_EXIF_H

#include <stddef.h>

/* Of a whole JPEG or PNG file; 1, upright, where it says nothing or nothing that holds. The row and the column 0 of
 * what is stored are shown at (CIPA DC-008, orientation tag 0x0112):
 *
 *     1 top left    2 top right   3 bottom right  4 bottom left
 *     5 left top    6 right top   7 right bottom  8 left bottom */
int exif_orientation(const void *file, size_t size);

#endif
