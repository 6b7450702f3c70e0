import { Widget } from '@lumino/widgets';

import type { ITranslate } from './words';
import type { Watch } from './watch';
import * as words from './words';

/**
 * The item in the status bar: a button, which the keyboard reaches, and which a screen reader reads
 * when the user comes to it. It is not a live region: nobody wants to hear each minute.
 */
export class Item extends Widget {
  constructor(
    private _trans: ITranslate,
    private _watch: Watch
  ) {
    super();
    this.addClass('unispawner-TimeLeft');
    this._button = document.createElement('button');
    this._button.type = 'button';
    this._button.addEventListener('click', () => this._watch.showDetails());
    this.node.append(this._button);
    _watch.changed.connect(this._show, this);
    this._show();
  }

  private _show(): void {
    const { short, until, isSoon, isLost } = this._watch;
    const text = isLost ? words.lost(this._trans) : short;
    if (this._button.textContent !== text) {
      this._button.textContent = text;
    }
    const label = isLost || !until ? text : words.label(this._trans, short, until);
    this._button.setAttribute('aria-label', label);
    this._button.title = label;
    this.toggleClass('unispawner-mod-soon', isSoon || isLost);
  }

  private _button: HTMLButtonElement;
}
